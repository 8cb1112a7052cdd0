"""Order by key: what comes after an event that is going to be parked is kept back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Mapping, Sequence

from busway.delivery.settle import Decided, Held, Problem
from busway.event import Event
from busway.lane import Trouble
from busway.ports import Item

_FASTER = 8
_MOST_KEYS = 10_000


class Runs:
    """How many parked events of a key go at once: more each time that all of them went well.

    Where one fails, the next one of its key goes alone; ``most`` go at once at most.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._runs: dict[tuple[int, str], int] = {}

    def behind(self, first: Sequence[Trouble]) -> dict[str, int]:
        """Return how many may go along behind troubles that are the first of their keys."""
        return {
            one.key: most - 1
            for one in first
            if one.key is not None and (most := self._runs.get((one.partition, one.key), 1)) > 1
        }

    def note(self, tried: Sequence[Trouble], gone: Container[int]) -> None:
        """Note which offsets of what was tried of one lane are parked no more."""
        counts: Counter[tuple[int, str]] = Counter()
        failed: set[tuple[int, str]] = set()
        for one in tried:
            if one.key is not None:
                counts[one.partition, one.key] += 1
                if one.offset not in gone:
                    failed.add((one.partition, one.key))
        if len(self._runs) > _MOST_KEYS:
            self._runs.clear()
        for place, count in counts.items():
            if place in failed:
                self._runs.pop(place, None)
            elif count >= self._runs.get(place, 1):
                self._runs[place] = min(count * _FASTER, self._most)


def held_back(
    items: Sequence[Item], decided: Sequence[Decided]
) -> tuple[list[Item], list[Decided]]:
    """Return the items that may go, and the decided ones, with what has to wait as ``Held``.

    After an event that failed and will be tried again, or waits already, wait the items of its
    key, and those of its key that failed too: each with a time of its own, a later one might
    overtake it.
    """
    first = _first_staying(decided)
    if not first:
        return list(items), list(decided)
    free = [item for item in items if not _behind(first, item.event.key, item.offset)]
    fates = [_held(one) if _waits(first, one) else one for one in decided]
    going = {item.offset for item in free}
    waiting = [
        Decided(item.offset, item.event, Held()) for item in items if item.offset not in going
    ]
    return free, [*fates, *waiting]


def in_turn(wanted: Sequence[tuple[int, Event]], decided: Sequence[Decided]) -> list[Decided]:
    """Return what is decided of ``wanted``, without failures behind an event that stays parked.

    Such a failure would get a time of its own, and the event could overtake the one before it.
    """
    fates = {one.offset: one for one in decided}
    staying: set[str] = set()
    found: list[Decided] = []
    for offset, event in wanted:
        one = fates.get(offset)
        stays = one is None or _stays(one)
        if one is not None and not (stays and event.key in staying):
            found.append(one)
        if stays and event.key is not None:
            staying.add(event.key)
    return found


def _first_staying(decided: Sequence[Decided]) -> Mapping[str, int]:
    first: dict[str, int] = {}
    for one in decided:
        key = one.event.key if _stays(one) else None
        if key is not None:
            first[key] = min(one.offset, first.get(key, one.offset))
    return first


def _stays(one: Decided) -> bool:
    return _fails(one) or isinstance(one.fate, Held)


def _fails(one: Decided) -> bool:
    return isinstance(one.fate, Problem) and not one.fate.final


def _waits(first: Mapping[str, int], one: Decided) -> bool:
    return _fails(one) and _behind(first, one.event.key, one.offset)


def _behind(first: Mapping[str, int], key: str | None, offset: int) -> bool:
    return key is not None and offset > first.get(key, offset)


def _held(one: Decided) -> Decided:
    return Decided(one.offset, one.event, Held())
