"""Tell an event that makes its destination seem down from a destination that is down."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec

from busway.outcome import DELIVERED, HELD, UNTRIED, Down, Outcome, Retry
from busway.ports import Item, Load

Place = tuple[tuple[str, str, int], int]
_MOST = 10_000


class Judged(msgspec.Struct, frozen=True):
    """The outcomes of a load; ``undecided`` are the places of those that may mean downtime.

    ``own`` is how many were found to be the cause themselves.
    """

    outcomes: Sequence[Outcome]
    undecided: Collection[Place] = ()
    own: int = 0


class Suspects:
    """Remembers for which events a destination was unavailable.

    An event that finds it so again, when a load that set out after the first time has delivered
    something, is the cause itself: that attempt counts, and it is parked like any other that fails.
    """

    def __init__(self) -> None:
        self._turn = self._proof = 0
        self._seen: dict[Place, int] = {}

    def __contains__(self, place: Place) -> bool:
        return place in self._seen

    def waits(self, place: Place) -> bool:
        """Say whether an event failed, and nothing has been delivered since."""
        return self._seen.get(place, -1) >= self._proof

    def recall(self, place: Place) -> None:
        """Note an event that failed, with others that landed after it, when it did so before."""
        self._seen.setdefault(place, 0)

    def set_out(self) -> int:
        """Return the turn of a load that sets out now."""
        self._turn += 1
        return self._turn

    def judged(self, turn: int, load: Load, outcomes: Sequence[Outcome]) -> Judged:
        """Return the outcomes, with ``Retry`` for events that are found to be the cause."""
        if outcomes.count(DELIVERED) == len(outcomes):
            self._proof = max(self._proof, turn)
            for item in load.items if self._seen else ():
                self._seen.pop((load.lane, item.offset), None)
            return Judged(outcomes)
        if DELIVERED in outcomes:
            self._proof = max(self._proof, turn)
        if len(outcomes) != len(load.items):
            return Judged(outcomes)
        alone = len(load.items) == 1
        pairs = list(zip(load.items, outcomes, strict=True))
        found = [self._judged((load.lane, it.offset), one, alone=alone) for it, one in pairs]
        pairs = list(zip(load.items, found, strict=True))
        undecided = [(load.lane, it.offset) for it, one in pairs if _is_undecided(one)]
        own = sum(new is not old for new, old in zip(found, outcomes, strict=True))
        if undecided and load.ordered:
            found = _untried_behind(load.items, found)
        return Judged(found, undecided, own)

    def _judged(self, place: Place, outcome: Outcome, *, alone: bool) -> Outcome:
        if not isinstance(outcome, Down):
            if outcome != UNTRIED and outcome is not HELD:
                self._seen.pop(place, None)
            return outcome
        may_be = outcome.reachable and (outcome.is_ambiguous or alone)
        if may_be and (outcome.overtaken or self._again(place)):
            reason = outcome.reason.removeprefix(outcome.error).removeprefix(": ")
            return Retry(outcome.error or "unavailable", reason, outcome.after_s)
        return outcome

    def _again(self, place: Place) -> bool:
        before = self._seen.pop(place, self._turn)
        self._seen[place] = self._turn
        if len(self._seen) > _MOST:
            del self._seen[next(iter(self._seen))]
        return self._proof > before


def _is_undecided(outcome: Outcome) -> bool:
    return isinstance(outcome, Down) and outcome.is_ambiguous


def _untried_behind(items: Sequence[Item], outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Return the outcomes, with what waits behind an undecided event of its key untried."""
    keys: set[str | None] = set()
    found: list[Outcome] = []
    for item, outcome in zip(items, outcomes, strict=True):
        behind = item.event.key is not None and item.event.key in keys
        found.append(UNTRIED if outcome is HELD and behind else outcome)
        if _is_undecided(outcome):
            keys.add(item.event.key)
    return found
