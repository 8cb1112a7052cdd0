"""What a lane does at once: a range of offsets, and the events of it that its rule wants."""

from __future__ import annotations

from collections.abc import Container, Sequence

import msgspec

from busway.bus.follow import Matched
from busway.delivery.settle import Decided, Problem
from busway.event import Event, event_of


class Portion(msgspec.Struct, frozen=True):
    """Offsets from ``start`` up to ``end``; ``wanted`` and ``decided`` are in order of offsets."""

    start: int
    end: int
    wanted: Sequence[tuple[int, Event]]
    decided: Sequence[Decided]


def cut(matched: Sequence[Matched], rule: int, cursor: int, most: int) -> Portion | None:
    """Return what a rule wants from ``cursor`` on, of about ``most`` events, or ``None``.

    A hole in the log is a portion by itself, without anything in it.
    """
    if matched and matched[0].batch.offset > cursor:
        return Portion(cursor, matched[0].batch.offset, (), ())
    wanted: list[tuple[int, Event]] = []
    decided: list[Decided] = []
    end = cursor
    for one in matched:
        if one.batch.offset > end:
            break
        if one.batch.end <= end or (end > cursor and one.batch.end - cursor > most):
            continue
        _take(one, rule, cursor, wanted)
        decided += _unreadable(one, cursor)
        end = one.batch.end
    return Portion(cursor, end, wanted, decided) if end > cursor else None


def shortened(portion: Portion, most: int | None, known: Container[int] = ()) -> Portion:
    """Return the part of a portion up to its ``most``-th wanted event that is not ``known``."""
    if most is None or len(portion.wanted) <= most:
        return portion
    count = 0
    for index, (offset, _) in enumerate(portion.wanted):
        if offset in known:
            continue
        if count == most:
            decided = [one for one in portion.decided if one.offset < offset]
            return Portion(portion.start, offset, portion.wanted[:index], decided)
        count += 1
    return portion


def ended(portion: Portion, end: int) -> Portion:
    """Return the part of a portion before ``end``."""
    if portion.end <= end:
        return portion
    wanted = [one for one in portion.wanted if one[0] < end]
    decided = [one for one in portion.decided if one.offset < end]
    return Portion(portion.start, end, wanted, decided)


def _take(matched: Matched, rule: int, cursor: int, wanted: list[tuple[int, Event]]) -> None:
    first, events = matched.batch.offset, matched.batch.events
    indexes = matched.wanted.get(rule, ())
    wanted += [(first + i, event_of(events[i])) for i in indexes if first + i >= cursor]


def _unreadable(matched: Matched, cursor: int) -> list[Decided]:
    first, events = matched.batch.offset, matched.batch.events
    return [
        Decided(
            first + index,
            Event.from_json(events[index]),
            Problem("rule", "EventError", reason, final=True),
        )
        for index, reason in matched.unreadable.items()
        if first + index >= cursor
    ]
