"""Which events came, learned from the log: at the start, and from what others append meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from busway.bus.recent import Recent, digests_of
from busway.clock import Clock
from busway.ports import Draft, Log

_READ_BYTES = 4 * 1024 * 1024


class _Identity(msgspec.Struct, frozen=True, gc=False):
    """What tells two events apart, and nothing else of them."""

    id: str
    source: str


_decode_identity = msgspec.json.Decoder(_Identity).decode


class Known:
    """Reads into a memory of identities; what is appended here is remembered elsewhere."""

    def __init__(self, log: Log, clock: Clock, recent: Recent, window_s: float) -> None:
        self._log = log
        self._clock = clock
        self._recent = recent
        self._window_s = window_s
        self._ends = [0] * log.partitions
        self._own: list[dict[int, int]] = [{} for _ in self._ends]
        """The ranges of own appends beyond what is learned, by their start."""

    def end(self, partition: int) -> int:
        """Return up to where all events of a partition are known."""
        return self._ends[partition]

    async def rebuild(self) -> None:
        """Learn which events came in the last window, as if they came just now.

        The window is the log's: time during which nothing ran does not count, so a producer that
        repeats a request after our restart is still recognised. An append by a clock that was ahead
        does not move it beyond now.
        """
        newest = [await self._last_append(p) for p in range(self._log.partitions)]
        now = self._clock.now()  # also where all end with what they have lost
        last = min(max((at for at in newest if at is not None), default=now), now)
        since = last - timedelta(seconds=self._window_s)
        for partition in range(self._log.partitions):
            self._ends[partition] = await self._log.offset_at(partition, since)
            await self.learn(partition)

    async def learn(self, partition: int) -> None:
        """Learn what others have appended to a partition."""
        while batches := await self._log.read(partition, self._ends[partition], _READ_BYTES):
            own = self._own[partition]
            for batch in batches:
                if batch.end > self._ends[partition] and batch.offset not in own:
                    known = digests_of(map(_decode_identity, batch.events))
                    self._recent.add(known, self._clock.monotonic())
            self._reached(partition, batches[-1].end)

    async def skip(self, partition: int) -> None:
        """Go on at the end of a partition that has nothing more before it: it has lost it."""
        _, end = await self._log.bounds(partition)
        if not await self._log.read(partition, self._ends[partition], 1):
            self._reached(partition, end)

    def appended(self, drafts: Sequence[Draft], firsts: Sequence[int]) -> None:
        """Note what was appended here: that need not be learned."""
        for draft, first in zip(drafts, firsts, strict=True):
            self._own[draft.partition][first] = first + len(draft.events)
            self._reached(draft.partition, self._ends[draft.partition])

    def _reached(self, partition: int, end: int) -> None:
        """Move the end on, over own appends that follow."""
        own, end = self._own[partition], max(end, self._ends[partition])
        while own and (first := min(own)) <= end:
            end = max(end, own.pop(first))
        self._ends[partition] = end

    async def _last_append(self, partition: int) -> datetime | None:
        _, end = await self._log.bounds(partition)
        batches = await self._log.read(partition, end - 1, 1) if end else ()
        return batches[-1].appended_at if batches else None
