"""Watch events come: a reader of the log that never holds up what works, and keeps nothing."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import datetime
from itertools import accumulate
from typing import Annotated, Any

import msgspec
from msgspec import Raw

from busway.bus.reader import match_batch
from busway.control.context import ControlContext
from busway.control.pattern import parse_pattern
from busway.control.record import flow_records
from busway.errors import BuswayError, NotFound
from busway.ports import Log, LogBatch
from busway.rule import Pattern, RuleIndex

READ_BYTES = 64 * 1024
MAX_BEHIND = 10_000
"""How many events of a partition a live watcher may be behind before they are skipped."""
LOOP_SHARE = 0.1
"""How much of the event loop's time all tails together may take."""
MAX_PAUSE_S = 1.0
KEEP_ALIVE_S = 15.0


class TailEvent(msgspec.Struct, frozen=True):
    """An event where it lies in the log, in its JSON format."""

    partition: int
    offset: int
    appended_at: datetime
    event: Raw


class SkippedEvents(msgspec.Struct, frozen=True):
    """Events that are not shown because the client was too slow or because they were trimmed."""

    partition: int
    events: int


class TailRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The events to show: those that match all ``rules``, beginning at the ``offsets``.

    A ``live`` tail shows current events: it skips events if it falls behind. Without ``follow`` it
    ends at the end that the log had when it began.
    """

    rules: tuple[Pattern, ...] = ()
    offsets: tuple[int, ...] = ()
    live: bool = True
    follow: bool = True


class TailFilter(msgspec.Struct, frozen=True, kw_only=True):
    """The events to show: all given conditions must hold."""

    pattern: str | None = None
    type: str | None = None
    source: str | None = None
    flow: str | None = None


async def tail_rules(control: ControlContext, tail_filter: TailFilter) -> tuple[Pattern, ...]:
    """Return the rules of a filter.

    Raises :class:`PatternError` for an invalid pattern, :class:`NotFound` for an unknown flow.
    """
    rules = [] if tail_filter.pattern is None else [parse_pattern(tail_filter.pattern)]
    exact: dict[str, Any] = {
        name: [value]
        for name, value in (("type", tail_filter.type), ("source", tail_filter.source))
        if value is not None
    }
    if exact:
        rules.append(Pattern.parse(exact))
    if tail_filter.flow is not None:
        records = await flow_records(control.ledger)
        if tail_filter.flow not in records:
            raise NotFound.named("flow", tail_filter.flow, records)
        rules.append(Pattern.parse(records[tail_filter.flow].rule or {}))
    return tuple(rules)


async def offsets_from(log: Log, begin: str) -> tuple[int, ...]:
    """Return the first offset of each partition for ``now``, ``beginning``, or a time.

    Raises :class:`BuswayError` for anything else.
    """
    at = None if begin in ("now", "beginning") else _parse_time(begin)
    offsets = []
    for partition in range(log.partitions):
        first, end = await log.bounds(partition)
        if at is not None:
            offsets.append(await log.offset_at(partition, at))
        else:
            offsets.append(first if begin == "beginning" else end)
    return tuple(offsets)


def _parse_time(text: str) -> datetime:
    try:
        time: datetime = msgspec.convert(text, Annotated[datetime, msgspec.Meta(tz=True)])
    except msgspec.ValidationError as error:
        fix = "give now, beginning, or a time with its zone, like 2026-03-01T12:00:00Z"
        raise BuswayError(f"from is {text[:100]!r}; {fix}") from error
    return time


def position_of(offsets: Sequence[int]) -> str:
    """Return the text form of a position in the log: the next offset of each partition."""
    return ".".join(map(str, offsets))


def offsets_at_position(log: Log, position: str) -> tuple[int, ...]:
    """Return the offsets of a position. Raises :class:`BuswayError` for one of another log."""
    parts = position.split(".")
    if len(parts) != log.partitions or not all(part.isdecimal() for part in parts):
        raise BuswayError(
            f"{position[:100]!r} is not a position in this log; use the id of an event"
        )
    return tuple(map(int, parts))


class TailLoad:
    """Limits all tails of a process together to their share of the event loop's time."""

    def __init__(self) -> None:
        self._tails = 0

    @contextlib.contextmanager
    def track(self) -> Iterator[None]:
        """Count a tail during the block."""
        self._tails += 1
        try:
            yield
        finally:
            self._tails -= 1

    def pause_s(self, spent_s: float) -> float:
        """Return how long a tail has to sleep after some work."""
        return min(max(spent_s, 0.0) * self._tails * (1 / LOOP_SHARE - 1), MAX_PAUSE_S)


class LogTail:
    """Reads the log on demand; events that are not consumed stay in the log."""

    def __init__(self, log: Log, request: TailRequest) -> None:
        self._log = log
        self._request = request
        self._index = RuleIndex(request.rules, checked=True)
        self._next = list(request.offsets)

    @property
    def position(self) -> str:
        """The position from which the tail can be resumed."""
        return position_of(self._next)

    def position_after(self, event: TailEvent) -> str:
        """Return the position after an event of the batch that was read last."""
        offsets = list(self._next)
        offsets[event.partition] = event.offset + 1
        return position_of(offsets)

    def is_past(self, ends: Sequence[int]) -> bool:
        """Return whether everything before these ends has been read."""
        return all(offset >= end for offset, end in zip(self._next, ends, strict=True))

    async def ends(self) -> list[int]:
        """Return the current ends of the log."""
        bounds = [await self._log.bounds(partition) for partition in range(self._log.partitions)]
        return [end for _, end in bounds]

    async def skip_lost(self) -> Sequence[SkippedEvents]:
        """Skip trimmed events, and those that a live tail is too slow for."""
        skipped = []
        for partition, offset in enumerate(self._next):
            first, end = await self._log.bounds(partition)
            late = self._request.live and end - offset > MAX_BEHIND
            target = max(first, end - MAX_BEHIND // 10) if late else first
            if target > offset:
                self._next[partition] = target
                skipped.append(SkippedEvents(partition, target - offset))
        return skipped

    async def read(self, ends: Sequence[int]) -> AsyncIterator[Sequence[TailEvent]]:
        """Yield the matching events before ``ends``, batch by batch, in order of append time."""
        batches: list[LogBatch] = []
        for partition, offset in enumerate(list(self._next)):
            if offset < ends[partition]:
                read = await self._log.read(partition, offset, READ_BYTES)
                batches += read
                if not read:  # everything up to there was lost
                    self._next[partition] = ends[partition]
        for batch in _by_append_time(batches):
            yield self._events_of(batch, ends[batch.partition])

    async def wait(self) -> None:
        """Wait until there may be more events."""
        waiting = [
            asyncio.ensure_future(self._log.wait(partition, offset))
            for partition, offset in enumerate(self._next)
        ]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()

    def _events_of(self, batch: LogBatch, end: int) -> list[TailEvent]:
        first, last = self._next[batch.partition], min(batch.end, end)
        self._next[batch.partition] = max(first, last)
        return [
            TailEvent(batch.partition, batch.offset + i, batch.appended_at, Raw(batch.events[i]))
            for i in self._wanted_indexes(batch)
            if first <= batch.offset + i < last
        ]

    def _wanted_indexes(self, batch: LogBatch) -> Sequence[int]:
        rules = range(len(self._request.rules))
        if not rules:
            return range(len(batch.events))
        wanted = match_batch(self._index, batch).wanted
        return sorted(set.intersection(*(set(wanted.get(rule, ())) for rule in rules)))


def _by_append_time(batches: Sequence[LogBatch]) -> list[LogBatch]:
    """Sort the batches of all partitions by time; those of one partition keep their order."""
    by_partition: dict[int, list[LogBatch]] = {}
    for batch in batches:
        by_partition.setdefault(batch.partition, []).append(batch)
    dated = [
        (at, batch.partition, batch)
        for own in by_partition.values()
        for at, batch in zip(
            accumulate((batch.appended_at for batch in own), max), own, strict=True
        )
    ]
    return [batch for _, _, batch in sorted(dated, key=lambda batch: batch[:2])]
