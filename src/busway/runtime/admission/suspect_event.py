"""Tell an event that makes its destination seem down from a destination that is down."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec

from busway.lane import EventRef
from busway.outcome import (
    BLOCKED_BY_KEY,
    DELIVERED,
    NOT_ATTEMPTED,
    Down,
    Outcome,
    Retry,
)
from busway.ports import Load, LoadItem

_MAX = 10_000


class LoadResult(msgspec.Struct, frozen=True):
    """The outcomes of a load; ``undecided`` are the places of those that may mean downtime.

    ``poison_count`` is how many were found to be the cause themselves.
    """

    outcomes: Sequence[Outcome]
    undecided: Collection[EventRef] = ()
    poison_count: int = 0


class PoisonDetector:
    """Remembers for which events a destination was unavailable.

    An event that finds it so again, when a load that set out after the first time has delivered
    something, is the cause itself: that attempt counts, and it is parked like any other that fails.
    """

    def __init__(self) -> None:
        self._load_number = self._delivered_load = 0
        self._failed_in: dict[EventRef, int] = {}

    def __contains__(self, ref: EventRef) -> bool:
        return ref in self._failed_in

    def is_unproven(self, ref: EventRef) -> bool:
        """Say whether an event failed, and nothing has been delivered since."""
        return self._failed_in.get(ref, -1) >= self._delivered_load

    def restore(self, ref: EventRef) -> None:
        """Note an event that failed, with others that landed after it, when it did so before."""
        self._failed_in.setdefault(ref, 0)

    def start_load(self) -> int:
        """Return the turn of a load that sets out now."""
        self._load_number += 1
        return self._load_number

    def examine(self, load_number: int, load: Load, outcomes: Sequence[Outcome]) -> LoadResult:
        """Return the outcomes, with ``Retry`` for events that are found to be the cause."""
        if outcomes.count(DELIVERED) == len(outcomes):
            self._delivered_load = max(self._delivered_load, load_number)
            for item in load.items if self._failed_in else ():
                self._failed_in.pop(load.lane.event_ref(item.offset), None)
            return LoadResult(outcomes)
        if DELIVERED in outcomes:
            self._delivered_load = max(self._delivered_load, load_number)
        if len(outcomes) != len(load.items):
            return LoadResult(outcomes)
        alone = len(load.items) == 1
        pairs = list(zip(load.items, outcomes, strict=True))
        examined = [
            self._examine_outcome(load.lane.event_ref(item.offset), outcome, alone=alone)
            for item, outcome in pairs
        ]
        pairs = list(zip(load.items, examined, strict=True))
        undecided = [
            load.lane.event_ref(item.offset) for item, outcome in pairs if _is_undecided(outcome)
        ]
        own = sum(new is not old for new, old in zip(examined, outcomes, strict=True))
        if undecided and load.ordered:
            examined = _untried_behind(load.items, examined)
        return LoadResult(examined, undecided, own)

    def _examine_outcome(self, ref: EventRef, outcome: Outcome, *, alone: bool) -> Outcome:
        if not isinstance(outcome, Down):
            if outcome != NOT_ATTEMPTED and outcome is not BLOCKED_BY_KEY:
                self._failed_in.pop(ref, None)
            return outcome
        may_be = outcome.reachable and (outcome.is_ambiguous or alone)
        if may_be and (outcome.later_delivered or self._failed_again(ref)):
            reason = outcome.reason.removeprefix(outcome.error).removeprefix(": ")
            return Retry(outcome.error or "unavailable", reason, outcome.retry_after_s)
        return outcome

    def _failed_again(self, ref: EventRef) -> bool:
        before = self._failed_in.pop(ref, self._load_number)
        self._failed_in[ref] = self._load_number
        if len(self._failed_in) > _MAX:
            del self._failed_in[next(iter(self._failed_in))]
        return self._delivered_load > before


def _is_undecided(outcome: Outcome) -> bool:
    return isinstance(outcome, Down) and outcome.is_ambiguous


def _untried_behind(items: Sequence[LoadItem], outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Return the outcomes, with what waits behind an undecided event of its key untried."""
    keys: set[str | None] = set()
    result: list[Outcome] = []
    for item, outcome in zip(items, outcomes, strict=True):
        behind = item.event.key is not None and item.event.key in keys
        result.append(NOT_ATTEMPTED if outcome is BLOCKED_BY_KEY and behind else outcome)
        if _is_undecided(outcome):
            keys.add(item.event.key)
    return result
