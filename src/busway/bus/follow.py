"""Follow: lanes read the log; a batch is fetched and matched against all rules once for all."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Protocol

import msgspec

from busway.errors import EventError
from busway.ports import Batch, Log, Revocable

KEPT_BYTES = 16 * 1024 * 1024


class Matcher(Protocol):
    """Tells which rules want an event, by number."""

    def match(self, raw: bytes) -> tuple[int, ...]: ...

    def match_batch(self, raws: Sequence[bytes]) -> Sequence[tuple[int, ...]]: ...


class Matched(msgspec.Struct, frozen=True):
    """A batch, and for each rule's number the indexes of the events that it wants.

    ``unreadable`` are the indexes of events that cannot be decoded, with the reason.
    """

    batch: Batch
    wanted: Mapping[int, Sequence[int]]
    unreadable: Mapping[int, str]
    size_bytes: int


class Follow:
    """Reads the log for many lanes of one process; remembers the batches matched last."""

    def __init__(self, log: Log, matcher: Matcher) -> None:
        self._log = log
        self._revocable = log if isinstance(log, Revocable) else None
        self._kept_in = self.era
        self._matcher = matcher
        self._kept: OrderedDict[tuple[int, int], Matched] = OrderedDict()
        self._kept_bytes = 0
        self._reading: dict[tuple[int, int], asyncio.Event] = {}

    @property
    def era(self) -> int:
        """Changes whenever what was read before may be lost, and its offsets another event's."""
        return self._revocable.era if self._revocable is not None else 0

    async def read(self, partition: int, offset: int, max_bytes: int) -> Sequence[Matched]:
        """Return matched batches from the one that holds ``offset``, none at the end of the log.

        What other lanes have read is returned by itself: there may be more in the log behind it.
        """
        while not (found := self._known(partition, offset, max_bytes)):
            reading = self._reading.get((partition, offset))
            if reading is None:
                return await self._read(partition, offset, max_bytes)
            await reading.wait()
        return found

    async def read_further(self, partition: int, offset: int, max_bytes: int) -> Sequence[Matched]:
        """Return what :meth:`read` does, and what is in the log behind it: one batch at least."""
        found = await self.read(partition, offset, max_bytes)
        if not found:
            return found
        room = max_bytes - sum(one.size_bytes for one in found)
        return [*found, *await self.read(partition, found[-1].batch.end, max(room, 0))]

    async def _read(self, partition: int, offset: int, max_bytes: int) -> Sequence[Matched]:
        """Read the log; who asks for the same meanwhile waits, and finds it among what is kept."""
        done = self._reading[partition, offset] = asyncio.Event()
        try:
            found = await self._log.read(partition, offset, max_bytes)
            self._forget_other_eras()
            return [self._matched(one) for one in found]
        finally:
            del self._reading[partition, offset]
            done.set()

    async def wait(self, partition: int, offset: int) -> None:
        """Return once there may be something at ``offset``."""
        await self._log.wait(partition, offset)

    async def end(self, partition: int) -> int:
        """Return where the log ends, by a look."""
        return (await self._log.bounds(partition))[1]

    def _known(self, partition: int, offset: int, max_bytes: int) -> list[Matched]:
        """Return the batches from ``offset`` on that another lane has read."""
        self._forget_other_eras()
        found: list[Matched] = []
        size = 0
        while (one := self._kept.get((partition, offset))) is not None:
            if found and size + one.size_bytes > max_bytes:
                break
            self._kept.move_to_end((partition, offset))
            found.append(one)
            size += one.size_bytes
            offset = one.batch.end
        return found

    def _forget_other_eras(self) -> None:
        if self._kept_in != self.era:
            self._kept_in = self.era
            self._kept.clear()
            self._kept_bytes = 0

    def _matched(self, batch: Batch) -> Matched:
        place = (batch.partition, batch.offset)
        found = self._kept.pop(place, None)
        if found is not None:
            self._kept_bytes -= found.size_bytes
        if found is None or len(found.batch.events) != len(batch.events):
            found = match(self._matcher, batch)
        self._kept[place] = found
        self._kept_bytes += found.size_bytes
        while self._kept_bytes > KEPT_BYTES and len(self._kept) > 1:
            self._kept_bytes -= self._kept.popitem(last=False)[1].size_bytes
        return found


def match(matcher: Matcher, batch: Batch) -> Matched:
    """Return which rules want which events of a batch."""
    unreadable: dict[int, str] = {}
    try:
        answers = matcher.match_batch(batch.events)
    except EventError:
        answers = list(_one_by_one(matcher, batch, unreadable))
    by_answer: defaultdict[tuple[int, ...], list[int]] = defaultdict(list)
    for index, rules in enumerate(answers):
        by_answer[rules].append(index)
    return Matched(batch, _by_rule(by_answer), unreadable, sum(map(len, batch.events)))


def _one_by_one(
    matcher: Matcher, batch: Batch, unreadable: dict[int, str]
) -> Iterator[tuple[int, ...]]:
    for index, raw in enumerate(batch.events):
        try:
            yield matcher.match(raw)
        except EventError as error:
            unreadable[index] = str(error)
            yield ()


def _by_rule(by_answer: Mapping[tuple[int, ...], list[int]]) -> dict[int, list[int]]:
    """Turn "these rules want these events" into the events of each rule, in order."""
    wanted: defaultdict[int, list[list[int]]] = defaultdict(list)
    for rules, indexes in by_answer.items():
        for rule in rules:
            wanted[rule].append(indexes)
    return {
        rule: found[0] if len(found) == 1 else sorted(chain(*found))
        for rule, found in wanted.items()
    }
