"""The outcomes of a lane's events that are not settled yet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from busway.delivery.settlement import DecidedEvent
from busway.outcome import DELIVERED, Down, Outcome
from busway.ports import LoadItem
from busway.runtime.lane.key_order import hold_back_by_key
from busway.runtime.lane.transform import decide_outcome


class LaneOutcomes:
    """The offsets that were delivered, and the outcomes of the others."""

    def __init__(self) -> None:
        self._delivered: set[int] = set()
        self._decided: dict[int, DecidedEvent] = {}
        self.undecided: set[int] = set()
        """Offsets of events that failed, because of the event or because of the destination."""

    def __contains__(self, offset: object) -> bool:
        return offset in self._delivered or offset in self._decided

    def add(self, decided: Iterable[DecidedEvent]) -> None:
        """Add events whose outcome is known."""
        self._decided.update((event.offset, event) for event in decided)

    def record(
        self, items: Sequence[LoadItem], outcomes: Sequence[Outcome], took_s: float | None = None
    ) -> None:
        """Record the outcomes of a load that took ``took_s`` seconds.

        Events that should be tried again at once stay undecided.
        """
        if self.undecided:
            self.undecided.difference_update([item.offset for item in items])
        if outcomes.count(DELIVERED) == len(items):
            self._delivered.update([item.offset for item in items])
            return
        for item, outcome in zip(items, outcomes, strict=True):
            if isinstance(outcome, Down):
                self.undecided.add(item.offset)
            decided = decide_outcome(item, outcome, took_s)
            if decided is not None and decided.outcome == "delivered":
                self._delivered.add(item.offset)
            elif decided is not None:
                self._decided[item.offset] = decided

    def undecided_items(self, items: Sequence[LoadItem]) -> list[LoadItem]:
        """Return the items that are undecided."""
        delivered, decided = self._delivered, self._decided
        return [
            item for item in items if item.offset not in delivered and item.offset not in decided
        ]

    def hold_back(self, items: Sequence[LoadItem]) -> list[LoadItem]:
        """Hold back the items behind an event of their key that will be parked."""
        free, decided = hold_back_by_key(items, list(self._decided.values()))
        self._decided = {event.offset: event for event in decided}
        return free

    def undelivered_offsets(self) -> list[int]:
        """Return the offsets that are decided and were not delivered."""
        return list(self._decided)

    def settleable(self, end: int) -> tuple[int, list[DecidedEvent]]:
        """Return the number of delivered events before ``end``, and the other events in order."""
        delivered = sum(1 for offset in self._delivered if offset < end)
        others = [self._decided[offset] for offset in sorted(self._decided) if offset < end]
        return delivered, others

    def discard(self, end: int) -> None:
        """Discard everything before ``end``, which is settled."""
        self.undecided = {offset for offset in self.undecided if offset >= end}
        self._delivered = {offset for offset in self._delivered if offset >= end}
        self._decided = {offset: event for offset, event in self._decided.items() if offset >= end}
