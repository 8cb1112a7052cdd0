"""The reader of lanes: fetches and matches each batch once for all lanes of a process."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Protocol

import msgspec

from busway.errors import EventError
from busway.ports import HasGeneration, Log, LogBatch

CACHE_BYTES = 16 * 1024 * 1024


class Matcher(Protocol):
    """Returns the numbers of the rules that match an event."""

    def match(self, raw: bytes) -> tuple[int, ...]: ...

    def match_batch(self, raws: Sequence[bytes]) -> Sequence[tuple[int, ...]]: ...


class MatchedBatch(msgspec.Struct, frozen=True):
    """A batch, and for each rule's number the indexes of the events that it wants.

    ``unreadable`` are the indexes of events that cannot be decoded, with the reason.
    """

    batch: LogBatch
    wanted: Mapping[int, Sequence[int]]
    unreadable: Mapping[int, str]
    size_bytes: int


class SharedReader:
    """Reads the log for many lanes of one process; remembers the batches matched last."""

    def __init__(self, log: Log, matcher: Matcher) -> None:
        self._log = log
        self._generational = log if isinstance(log, HasGeneration) else None
        self._cache_generation = self.generation
        self._matcher = matcher
        self._cache: OrderedDict[tuple[int, int], MatchedBatch] = OrderedDict()
        self._cache_bytes = 0
        self._reads_in_flight: dict[tuple[int, int], asyncio.Event] = {}

    @property
    def generation(self) -> int:
        """A number that changes whenever events that were read may have been lost."""
        return self._generational.generation if self._generational is not None else 0

    async def read(self, partition: int, offset: int, max_bytes: int) -> Sequence[MatchedBatch]:
        """Return matched batches from the one that holds ``offset``, none at the end of the log.

        What other lanes have read is returned by itself: there may be more in the log behind it.
        """
        while not (batches := self._cached(partition, offset, max_bytes)):
            reading = self._reads_in_flight.get((partition, offset))
            if reading is None:
                return await self._read(partition, offset, max_bytes)
            await reading.wait()
        return batches

    async def read_further(
        self, partition: int, offset: int, max_bytes: int
    ) -> Sequence[MatchedBatch]:
        """Return what :meth:`read` does, and what is in the log behind it: one batch at least."""
        batches = await self.read(partition, offset, max_bytes)
        if not batches:
            return batches
        room = max_bytes - sum(batch.size_bytes for batch in batches)
        return [*batches, *await self.read(partition, batches[-1].batch.end, max(room, 0))]

    async def _read(self, partition: int, offset: int, max_bytes: int) -> Sequence[MatchedBatch]:
        """Read the log; who asks for the same meanwhile waits, and finds it among what is kept."""
        done = self._reads_in_flight[partition, offset] = asyncio.Event()
        try:
            found = await self._log.read(partition, offset, max_bytes)
            self._drop_other_generations()
            return [self._match_and_cache(one) for one in found]
        finally:
            del self._reads_in_flight[partition, offset]
            done.set()

    async def wait(self, partition: int, offset: int) -> None:
        """Return once there may be an event at ``offset``."""
        await self._log.wait(partition, offset)

    async def end(self, partition: int) -> int:
        """Return the current end of the log."""
        return (await self._log.bounds(partition)).end

    def _cached(self, partition: int, offset: int, max_bytes: int) -> list[MatchedBatch]:
        """Return the cached batches from ``offset`` on."""
        self._drop_other_generations()
        batches: list[MatchedBatch] = []
        size = 0
        while (cached := self._cache.get((partition, offset))) is not None:
            if batches and size + cached.size_bytes > max_bytes:
                break
            self._cache.move_to_end((partition, offset))
            batches.append(cached)
            size += cached.size_bytes
            offset = cached.batch.end
        return batches

    def _drop_other_generations(self) -> None:
        if self._cache_generation != self.generation:
            self._cache_generation = self.generation
            self._cache.clear()
            self._cache_bytes = 0

    def _match_and_cache(self, batch: LogBatch) -> MatchedBatch:
        place = (batch.partition, batch.offset)
        found = self._cache.pop(place, None)
        if found is not None:
            self._cache_bytes -= found.size_bytes
        if found is None or len(found.batch.events) != len(batch.events):
            found = match_batch(self._matcher, batch)
        self._cache[place] = found
        self._cache_bytes += found.size_bytes
        while self._cache_bytes > CACHE_BYTES and len(self._cache) > 1:
            self._cache_bytes -= self._cache.popitem(last=False)[1].size_bytes
        return found


def match_batch(matcher: Matcher, batch: LogBatch) -> MatchedBatch:
    """Return the matching rules of each event of a batch."""
    unreadable: dict[int, str] = {}
    try:
        answers = matcher.match_batch(batch.events)
    except EventError:
        answers = list(_match_each(matcher, batch, unreadable))
    by_answer: defaultdict[tuple[int, ...], list[int]] = defaultdict(list)
    for index, rules in enumerate(answers):
        by_answer[rules].append(index)
    return MatchedBatch(batch, _by_rule(by_answer), unreadable, sum(map(len, batch.events)))


def _match_each(
    matcher: Matcher, batch: LogBatch, unreadable: dict[int, str]
) -> Iterator[tuple[int, ...]]:
    for index, raw in enumerate(batch.events):
        try:
            yield matcher.match(raw)
        except EventError as error:
            unreadable[index] = str(error)
            yield ()


def _by_rule(by_answer: Mapping[tuple[int, ...], list[int]]) -> dict[int, list[int]]:
    """Invert the rules of each event into the events of each rule, in order."""
    wanted: defaultdict[int, list[list[int]]] = defaultdict(list)
    for rules, indexes in by_answer.items():
        for rule in rules:
            wanted[rule].append(indexes)
    return {
        rule: found[0] if len(found) == 1 else sorted(chain(*found))
        for rule, found in wanted.items()
    }
