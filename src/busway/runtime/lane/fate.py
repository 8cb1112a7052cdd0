"""What the events of one lane have come to, beyond what is settled."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from busway.delivery.settle import Decided
from busway.outcome import DELIVERED, Down, Outcome
from busway.ports import Item
from busway.runtime.lane.order import held_back
from busway.runtime.lane.produce import fate_of


class Fates:
    """Which offsets landed, and what became of those that did not."""

    def __init__(self) -> None:
        self._landed: set[int] = set()
        self._others: dict[int, Decided] = {}
        self.undecided: set[int] = set()
        """Offsets of events that failed, which may be about the event or its destination."""

    def __contains__(self, offset: object) -> bool:
        return offset in self._landed or offset in self._others

    def add(self, decided: Iterable[Decided]) -> None:
        """Note events whose fate is known."""
        self._others.update((one.offset, one) for one in decided)

    def note(
        self, items: Sequence[Item], outcomes: Sequence[Outcome], took_s: float | None = None
    ) -> None:
        """Note what a sink answered, and in what time, in seconds.

        What is to be tried again at once stays undecided.
        """
        if self.undecided:
            self.undecided.difference_update([item.offset for item in items])
        if outcomes.count(DELIVERED) == len(items):
            self._landed.update([item.offset for item in items])
            return
        for item, outcome in zip(items, outcomes, strict=True):
            if isinstance(outcome, Down):
                self.undecided.add(item.offset)
            fate = fate_of(item, outcome, took_s)
            if fate is not None and fate.fate == "delivered":
                self._landed.add(item.offset)
            elif fate is not None:
                self._others[item.offset] = fate

    def without(self, items: Sequence[Item]) -> list[Item]:
        """Return the items that are undecided."""
        landed, others = self._landed, self._others
        return [one for one in items if one.offset not in landed and one.offset not in others]

    def hold_back(self, items: Sequence[Item]) -> list[Item]:
        """Keep back what comes after an event of its key that is going to be parked."""
        free, decided = held_back(items, list(self._others.values()))
        self._others = {one.offset: one for one in decided}
        return free

    def holes(self) -> list[int]:
        """Return the offsets that did not land."""
        return list(self._others)

    def before(self, end: int) -> tuple[int, list[Decided]]:
        """Return how many offsets before ``end`` landed, and the others there in order."""
        landed = sum(1 for offset in self._landed if offset < end)
        return landed, [self._others[offset] for offset in sorted(self._others) if offset < end]

    def forget(self, end: int) -> None:
        """Forget what is settled: everything before ``end``."""
        self.undecided = {offset for offset in self.undecided if offset >= end}
        self._landed = {offset for offset in self._landed if offset >= end}
        self._others = {offset: one for offset, one in self._others.items() if offset >= end}
