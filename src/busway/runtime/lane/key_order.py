"""Order by key: what comes after an event that is going to be parked is kept back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Mapping, Sequence

from busway.delivery.settlement import BlockedByKey, DecidedEvent, FailedAttempt
from busway.event import Event
from busway.failed_event import FailedEvent
from busway.ports import LoadItem

_GROWTH = 8
_MAX_KEYS = 10_000


class KeyRuns:
    """How many parked events of a key go at once: more each time that all of them went well.

    Where one fails, the next one of its key goes alone; ``limit`` go at once at most.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lengths: dict[tuple[int, str], int] = {}

    def lengths(self, first: Sequence[FailedEvent]) -> dict[str, int]:
        """Return how many events may follow failed events that are the first of their keys."""
        return {
            one.key: most - 1
            for one in first
            if one.key is not None and (most := self._lengths.get((one.partition, one.key), 1)) > 1
        }

    def record(self, tried: Sequence[FailedEvent], gone: Container[int]) -> None:
        """Note which offsets of what was tried of one lane are parked no more."""
        counts: Counter[tuple[int, str]] = Counter()
        failed: set[tuple[int, str]] = set()
        for one in tried:
            if one.key is not None:
                counts[one.partition, one.key] += 1
                if one.offset not in gone:
                    failed.add((one.partition, one.key))
        if len(self._lengths) > _MAX_KEYS:
            self._lengths.clear()
        for place, count in counts.items():
            if place in failed:
                self._lengths.pop(place, None)
            elif count >= self._lengths.get(place, 1):
                self._lengths[place] = min(count * _GROWTH, self._limit)


def hold_back_by_key(
    items: Sequence[LoadItem], decided: Sequence[DecidedEvent]
) -> tuple[list[LoadItem], list[DecidedEvent]]:
    """Return the items that may go, and the decided ones, with what has to wait as
    ``BlockedByKey``.

    After an event that failed and will be tried again, or waits already, wait the items of its
    key, and those of its key that failed too: each with a time of its own, a later one might
    overtake it.
    """
    first = _first_parked_by_key(decided)
    if not first:
        return list(items), list(decided)
    free = [item for item in items if not _is_behind(first, item.event.key, item.offset)]
    fates = [_as_held(one) if _must_wait(first, one) else one for one in decided]
    going = {item.offset for item in free}
    waiting = [
        DecidedEvent(item.offset, item.event, BlockedByKey())
        for item in items
        if item.offset not in going
    ]
    return free, [*fates, *waiting]


def in_key_order(
    wanted: Sequence[tuple[int, Event]], decided: Sequence[DecidedEvent]
) -> list[DecidedEvent]:
    """Return what is decided of ``wanted``, without failures behind an event that stays parked.

    Such a failure would get a time of its own, and the event could overtake the one before it.
    """
    fates = {one.offset: one for one in decided}
    staying: set[str] = set()
    found: list[DecidedEvent] = []
    for offset, event in wanted:
        one = fates.get(offset)
        stays = one is None or _stays_parked(one)
        if one is not None and not (stays and event.key in staying):
            found.append(one)
        if stays and event.key is not None:
            staying.add(event.key)
    return found


def _first_parked_by_key(decided: Sequence[DecidedEvent]) -> Mapping[str, int]:
    first: dict[str, int] = {}
    for one in decided:
        key = one.event.key if _stays_parked(one) else None
        if key is not None:
            first[key] = min(one.offset, first.get(key, one.offset))
    return first


def _stays_parked(one: DecidedEvent) -> bool:
    return _will_retry(one) or isinstance(one.outcome, BlockedByKey)


def _will_retry(one: DecidedEvent) -> bool:
    return isinstance(one.outcome, FailedAttempt) and not one.outcome.final


def _must_wait(first: Mapping[str, int], one: DecidedEvent) -> bool:
    return _will_retry(one) and _is_behind(first, one.event.key, one.offset)


def _is_behind(first: Mapping[str, int], key: str | None, offset: int) -> bool:
    return key is not None and offset > first.get(key, offset)


def _as_held(one: DecidedEvent) -> DecidedEvent:
    return DecidedEvent(one.offset, one.event, BlockedByKey())
