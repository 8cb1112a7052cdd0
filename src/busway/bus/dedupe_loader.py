"""Which events came, learned from the log: at the start, and from what others append meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from busway.bus.dedupe import DedupeIndex, identity_digests
from busway.clock import Clock
from busway.ports import Log, NewBatch

_READ_BYTES = 4 * 1024 * 1024


class _EventIdentity(msgspec.Struct, frozen=True, gc=False):
    """The identity of an event, without its other members."""

    id: str
    source: str


_decode_identity = msgspec.json.Decoder(_EventIdentity).decode


class DedupeLoader:
    """Reads into a memory of identities; what is appended here is remembered elsewhere."""

    def __init__(self, log: Log, clock: Clock, index: DedupeIndex, window_s: float) -> None:
        self._log = log
        self._clock = clock
        self._index = index
        self._window_s = window_s
        self._ends = [0] * log.partitions
        self._own_appends: list[dict[int, int]] = [{} for _ in self._ends]
        """The ranges of own appends after the loaded end, by their start."""

    def loaded_end(self, partition: int) -> int:
        """Return the end of the loaded events of a partition."""
        return self._ends[partition]

    async def load_window(self) -> None:
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
            await self.load_new(partition)

    async def load_new(self, partition: int) -> None:
        """Load the events that other processes appended to a partition."""
        while batches := await self._log.read(partition, self._ends[partition], _READ_BYTES):
            own = self._own_appends[partition]
            for batch in batches:
                if batch.end > self._ends[partition] and batch.offset not in own:
                    known = identity_digests(map(_decode_identity, batch.events))
                    self._index.add(known, self._clock.monotonic())
            self._advance_end(partition, batches[-1].end)

    async def skip_gap(self, partition: int) -> None:
        """Go on at the end of a partition that has nothing more before it: it has lost it."""
        _, end = await self._log.bounds(partition)
        if not await self._log.read(partition, self._ends[partition], 1):
            self._advance_end(partition, end)

    def note_own_append(self, batches: Sequence[NewBatch], first_offsets: Sequence[int]) -> None:
        """Record an own append, which need not be loaded."""
        for draft, first in zip(batches, first_offsets, strict=True):
            self._own_appends[draft.partition][first] = first + len(draft.events)
            self._advance_end(draft.partition, self._ends[draft.partition])

    def _advance_end(self, partition: int, end: int) -> None:
        """Advance the end over the own appends that follow it."""
        own, end = self._own_appends[partition], max(end, self._ends[partition])
        while own and (first := min(own)) <= end:
            end = max(end, own.pop(first))
        self._ends[partition] = end

    async def _last_append(self, partition: int) -> datetime | None:
        _, end = await self._log.bounds(partition)
        batches = await self._log.read(partition, end - 1, 1) if end else ()
        return batches[-1].appended_at if batches else None
