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
    """Events that are not shown: the watcher was too slow, or they are kept no more."""

    partition: int
    events: int


class TailRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What to show: events that match all of ``rules``, from the ``offsets`` of the partitions on.

    A ``live`` watcher is to see what comes now: it is moved on when it falls behind. Without
    ``follow`` it ends where the log ended when it began.
    """

    rules: tuple[Pattern, ...] = ()
    offsets: tuple[int, ...] = ()
    live: bool = True
    follow: bool = True


class TailFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which events a caller asks for: all conditions that are given must hold."""

    pattern: str | None = None
    type: str | None = None
    source: str | None = None
    flow: str | None = None


async def tail_rules(control: ControlContext, tail_filter: TailFilter) -> tuple[Pattern, ...]:
    """Return the rules that say what is wanted.

    Raises :class:`PatternError` for a pattern that is not valid, :class:`NotFound` for a flow that
    is not there.
    """
    found = [] if tail_filter.pattern is None else [parse_pattern(tail_filter.pattern)]
    exact: dict[str, Any] = {
        name: [value]
        for name, value in (("type", tail_filter.type), ("source", tail_filter.source))
        if value is not None
    }
    if exact:
        found.append(Pattern.parse(exact))
    if tail_filter.flow is not None:
        records = await flow_records(control.ledger)
        if tail_filter.flow not in records:
            raise NotFound.named("flow", tail_filter.flow, records)
        found.append(Pattern.parse(records[tail_filter.flow].rule or {}))
    return tuple(found)


async def offsets_from(log: Log, begin: str) -> tuple[int, ...]:
    """Return where each partition is read from: ``now``, ``beginning``, or a time.

    Raises :class:`BuswayError` for anything else.
    """
    at = None if begin in ("now", "beginning") else _parse_time(begin)
    found = []
    for partition in range(log.partitions):
        first, end = await log.bounds(partition)
        if at is not None:
            found.append(await log.offset_at(partition, at))
        else:
            found.append(first if begin == "beginning" else end)
    return tuple(found)


def _parse_time(text: str) -> datetime:
    try:
        found: datetime = msgspec.convert(text, Annotated[datetime, msgspec.Meta(tz=True)])
    except msgspec.ValidationError as error:
        fix = "give now, beginning, or a time with its zone, like 2026-03-01T12:00:00Z"
        raise BuswayError(f"from is {text[:100]!r}; {fix}") from error
    return found


def position_of(offsets: Sequence[int]) -> str:
    """Return the name of a place in the log: what is read next of each partition."""
    return ".".join(map(str, offsets))


def offsets_at_position(log: Log, position: str) -> tuple[int, ...]:
    """Return the offsets of a place. Raises :class:`BuswayError` for one of another log."""
    parts = position.split(".")
    if len(parts) != log.partitions or not all(one.isdecimal() for one in parts):
        raise BuswayError(f"{position[:100]!r} is no place in this log; take an event's id")
    return tuple(map(int, parts))


class TailLoad:
    """Has all tails of a process together take only their share of the event loop's time."""

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
    """Reads on as its reader takes; what is not taken stays in the log."""

    def __init__(self, log: Log, request: TailRequest) -> None:
        self._log = log
        self._request = request
        self._index = RuleIndex(request.rules, checked=True)
        self._next = list(request.offsets)

    @property
    def position(self) -> str:
        """Where it goes on, to be resumed there."""
        return position_of(self._next)

    def position_after(self, one: TailEvent) -> str:
        """Return where to go on after an event of the batch that was read last."""
        offsets = list(self._next)
        offsets[one.partition] = one.offset + 1
        return position_of(offsets)

    def is_past(self, ends: Sequence[int]) -> bool:
        """Say whether all before these ends has been read."""
        return all(offset >= end for offset, end in zip(self._next, ends, strict=True))

    async def ends(self) -> list[int]:
        """Return where the log ends now."""
        bounds = [await self._log.bounds(partition) for partition in range(self._log.partitions)]
        return [end for _, end in bounds]

    async def skip_lost(self) -> Sequence[SkippedEvents]:
        """Move on past what is kept no more, and a live watcher past what it is too slow for."""
        found = []
        for partition, offset in enumerate(self._next):
            first, end = await self._log.bounds(partition)
            late = self._request.live and end - offset > MAX_BEHIND
            to = max(first, end - MAX_BEHIND // 10) if late else first
            if to > offset:
                self._next[partition] = to
                found.append(SkippedEvents(partition, to - offset))
        return found

    async def read(self, ends: Sequence[int]) -> AsyncIterator[Sequence[TailEvent]]:
        """Yield what is wanted of what comes next before ``ends``, batch by batch, as it came."""
        batches: list[LogBatch] = []
        for partition, offset in enumerate(list(self._next)):
            if offset < ends[partition]:
                found = await self._log.read(partition, offset, READ_BYTES)
                batches += found
                if not found:  # up to there it has lost all
                    self._next[partition] = ends[partition]
        for batch in _by_append_time(batches):
            yield self._events_of(batch, ends[batch.partition])

    async def wait(self) -> None:
        """Return once there may be more."""
        waiting = [
            asyncio.ensure_future(self._log.wait(partition, offset))
            for partition, offset in enumerate(self._next)
        ]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waiting:
                one.cancel()

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
    """Sort the batches of all partitions by time; those of one stay in their order."""
    by_partition: dict[int, list[LogBatch]] = {}
    for batch in batches:
        by_partition.setdefault(batch.partition, []).append(batch)
    dated = [
        (at, batch.partition, batch)
        for of_one in by_partition.values()
        for at, batch in zip(
            accumulate((one.appended_at for one in of_one), max), of_one, strict=True
        )
    ]
    return [batch for _, _, batch in sorted(dated, key=lambda one: one[:2])]
