"""Tell an event that makes its destination seem down from a destination that is down."""

from __future__ import annotations

from collections.abc import Sequence

from busway.outcome import DELIVERED, UNTRIED, Down, Outcome, Retry
from busway.ports import Load

Place = tuple[tuple[str, str, int], int]
_MOST = 10_000


class Suspects:
    """Remembers for which events a destination was unavailable when they came alone.

    An event that finds it so twice, while a load that set out after the first time landed, is the
    cause itself: that attempt counts, and it is parked like any other that fails.
    """

    def __init__(self) -> None:
        self._turn = self._proof = 0
        self._seen: dict[Place, int] = {}

    def __contains__(self, place: Place) -> bool:
        return place in self._seen

    def recall(self, place: Place) -> None:
        """Note an event that failed, with others that landed after it, when it did so before."""
        self._seen.setdefault(place, 0)

    def set_out(self) -> int:
        """Return the turn of a load that sets out now."""
        self._turn += 1
        return self._turn

    def judged(self, turn: int, load: Load, outcomes: Sequence[Outcome]) -> Sequence[Outcome]:
        """Return the outcomes, with ``Retry`` for an event that is found to be the cause."""
        if DELIVERED in outcomes:
            self._proof = max(self._proof, turn)
        if len(load.items) != 1 or len(outcomes) != 1:
            return outcomes
        place, (outcome,) = (load.lane, load.items[0].offset), outcomes
        if outcome == UNTRIED:
            return outcomes
        if not isinstance(outcome, Down):
            self._seen.pop(place, None)
        elif outcome.reachable and self._again(place):
            reason = outcome.reason.removeprefix(outcome.error).removeprefix(": ")
            return [Retry(outcome.error or "unavailable", reason, outcome.after_s)]
        return outcomes

    def _again(self, place: Place) -> bool:
        before = self._seen.pop(place, self._turn)
        self._seen[place] = self._turn
        if len(self._seen) > _MOST:
            del self._seen[next(iter(self._seen))]
        return self._proof > before
