"""What the events of one lane have come to, beyond what is settled."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from busway.delivery.settlement import DecidedEvent
from busway.outcome import DELIVERED, Down, Outcome
from busway.ports import LoadItem
from busway.runtime.lane.key_order import hold_back_by_key
from busway.runtime.lane.transform import decide_outcome


class LaneOutcomes:
    """Which offsets landed, and what became of those that did not."""

    def __init__(self) -> None:
        self._delivered: set[int] = set()
        self._decided: dict[int, DecidedEvent] = {}
        self.undecided: set[int] = set()
        """Offsets of events that failed, which may be about the event or its destination."""

    def __contains__(self, offset: object) -> bool:
        return offset in self._delivered or offset in self._decided

    def add(self, decided: Iterable[DecidedEvent]) -> None:
        """Note events whose fate is known."""
        self._decided.update((one.offset, one) for one in decided)

    def record(
        self, items: Sequence[LoadItem], outcomes: Sequence[Outcome], took_s: float | None = None
    ) -> None:
        """Note what a sink answered, and in what time, in seconds.

        What is to be tried again at once stays undecided.
        """
        if self.undecided:
            self.undecided.difference_update([item.offset for item in items])
        if outcomes.count(DELIVERED) == len(items):
            self._delivered.update([item.offset for item in items])
            return
        for item, outcome in zip(items, outcomes, strict=True):
            if isinstance(outcome, Down):
                self.undecided.add(item.offset)
            fate = decide_outcome(item, outcome, took_s)
            if fate is not None and fate.outcome == "delivered":
                self._delivered.add(item.offset)
            elif fate is not None:
                self._decided[item.offset] = fate

    def undecided_items(self, items: Sequence[LoadItem]) -> list[LoadItem]:
        """Return the items that are undecided."""
        landed, others = self._delivered, self._decided
        return [one for one in items if one.offset not in landed and one.offset not in others]

    def hold_back(self, items: Sequence[LoadItem]) -> list[LoadItem]:
        """Keep back what comes after an event of its key that is going to be parked."""
        free, decided = hold_back_by_key(items, list(self._decided.values()))
        self._decided = {one.offset: one for one in decided}
        return free

    def undelivered_offsets(self) -> list[int]:
        """Return the offsets that did not land."""
        return list(self._decided)

    def settleable(self, end: int) -> tuple[int, list[DecidedEvent]]:
        """Return how many offsets before ``end`` landed, and the others there in order."""
        landed = sum(1 for offset in self._delivered if offset < end)
        return landed, [self._decided[offset] for offset in sorted(self._decided) if offset < end]

    def discard(self, end: int) -> None:
        """Forget what is settled: everything before ``end``."""
        self.undecided = {offset for offset in self.undecided if offset >= end}
        self._delivered = {offset for offset in self._delivered if offset >= end}
        self._decided = {offset: one for offset, one in self._decided.items() if offset >= end}
