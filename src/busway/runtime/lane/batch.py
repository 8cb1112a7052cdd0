"""What a lane does at once: a range of offsets, and the events of it that its rule wants."""

from __future__ import annotations

from collections.abc import Container, Sequence

import msgspec

from busway.bus.reader import MatchedBatch
from busway.delivery.settlement import DecidedEvent, FailedAttempt
from busway.event import Event, event_from_json


class LaneBatch(msgspec.Struct, frozen=True):
    """Offsets from ``start`` up to ``end``; ``wanted`` and ``decided`` are in order of offsets."""

    start: int
    end: int
    wanted: Sequence[tuple[int, Event]]
    decided: Sequence[DecidedEvent]


def cut_batch(
    matched: Sequence[MatchedBatch], rule: int, cursor: int, limit: int
) -> LaneBatch | None:
    """Return what a rule wants from ``cursor`` on, of about ``limit`` events, or ``None``.

    A hole in the log is a batch by itself, without anything in it.
    """
    if matched and matched[0].batch.offset > cursor:
        return LaneBatch(cursor, matched[0].batch.offset, (), ())
    wanted: list[tuple[int, Event]] = []
    decided: list[DecidedEvent] = []
    end = cursor
    for one in matched:
        if one.batch.offset > end:
            break
        if one.batch.end <= end or (end > cursor and one.batch.end - cursor > limit):
            continue
        _take_wanted(one, rule, cursor, wanted)
        decided += _unreadable(one, cursor)
        end = one.batch.end
    return LaneBatch(cursor, end, wanted, decided) if end > cursor else None


def limit_events(batch: LaneBatch, limit: int | None, known: Container[int] = ()) -> LaneBatch:
    """Return the part of a batch up to its ``limit``-th wanted event that is not ``known``."""
    if limit is None or len(batch.wanted) <= limit:
        return batch
    count = 0
    for index, (offset, _) in enumerate(batch.wanted):
        if offset in known:
            continue
        if count == limit:
            decided = [one for one in batch.decided if one.offset < offset]
            return LaneBatch(batch.start, offset, batch.wanted[:index], decided)
        count += 1
    return batch


def limit_offset(batch: LaneBatch, end: int) -> LaneBatch:
    """Return the part of a batch before ``end``."""
    if batch.end <= end:
        return batch
    wanted = [one for one in batch.wanted if one[0] < end]
    decided = [one for one in batch.decided if one.offset < end]
    return LaneBatch(batch.start, end, wanted, decided)


def _take_wanted(
    matched: MatchedBatch, rule: int, cursor: int, wanted: list[tuple[int, Event]]
) -> None:
    first, events = matched.batch.offset, matched.batch.events
    indexes = matched.wanted.get(rule, ())
    wanted += [(first + i, event_from_json(events[i])) for i in indexes if first + i >= cursor]


def _unreadable(matched: MatchedBatch, cursor: int) -> list[DecidedEvent]:
    first, events = matched.batch.offset, matched.batch.events
    return [
        DecidedEvent(
            first + index,
            Event.from_json(events[index]),
            FailedAttempt("rule", "EventError", reason, final=True),
        )
        for index, reason in matched.unreadable.items()
        if first + index >= cursor
    ]
