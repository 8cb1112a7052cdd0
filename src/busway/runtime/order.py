"""Order by key: what comes after an event that is going to be parked is kept back."""

from __future__ import annotations

from collections.abc import Sequence

from busway.delivery.settle import Decided, Held, Problem
from busway.ports import Item


def held_back(
    items: Sequence[Item], decided: Sequence[Decided]
) -> tuple[list[Item], list[Decided]]:
    """Return the items that may go, and the decided ones, both without what has to wait.

    What has to wait is ``Held``: items after an event of their key that failed and will be tried
    again, and what was filtered or failed for good among them keeps its fate.
    """
    first: dict[str, int] = {}
    for one in decided:
        if isinstance(one.fate, Problem) and not one.fate.final and one.event.key is not None:
            first[one.event.key] = min(one.offset, first.get(one.event.key, one.offset))
    if not first:
        return list(items), list(decided)
    free: list[Item] = []
    held: list[Decided] = []
    for item in items:
        key = item.event.key
        if key is not None and item.offset > first.get(key, item.offset):
            held.append(Decided(item.offset, item.event, Held()))
        else:
            free.append(item)
    return free, [*decided, *held]
