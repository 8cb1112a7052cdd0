"""The event over which a lane's work fails is found by halves, and fails alone."""

from __future__ import annotations

from collections.abc import Awaitable

import pytest

from busway import Event
from busway.delivery.settlement import FailedAttempt
from busway.errors import StoreError
from busway.runtime.lane.attempt import FencedError
from busway.runtime.lane.batch import LaneBatch
from busway.runtime.lane.failure_bisection import MAX_SOLO_FAILURES, Isolation
from busway.runtime.lane.outcome import LaneOutcomes

EVENTS = [(n, Event(type="t", source="/s", id=f"e{n}", data=n)) for n in range(100)]


class Lane:
    """Works events from a cursor on; over one of them its work raises."""

    def __init__(self, bad: int) -> None:
        self.isolation = Isolation()
        self.fates = LaneOutcomes()
        self.cursor = 0
        self.turns = self.raised = 0
        self._bad = bad

    async def turn(self) -> None:
        self.turns += 1
        whole = LaneBatch(self.cursor, len(EVENTS), EVENTS[self.cursor :], ())
        portion = self.isolation.narrow(whole)
        try:
            cursor = await self.isolation.run(self.passage(portion), portion, self.fates)
        except ValueError:
            self.raised += 1
        else:
            self.cursor = self.cursor if cursor is None else cursor

    async def passage(self, portion: LaneBatch) -> int:
        if any(offset == self._bad and offset not in self.fates for offset, _ in portion.wanted):
            raise ValueError("no")
        return portion.end


@pytest.mark.parametrize("bad", [0, 1, 50, 99])
async def test_one_event_fails_and_the_lane_goes_on(bad: int) -> None:
    lane = Lane(bad)
    while lane.cursor < len(EVENTS):
        await lane.turn()
        assert lane.turns < 40, "in some dozen turns, not one for each event"
    _, (decided,) = lane.fates.settleable(len(EVENTS))
    assert decided.offset == bad
    assert isinstance(decided.outcome, FailedAttempt)
    assert (decided.outcome.error, decided.outcome.reason) == ("ValueError", "no")
    assert lane.raised == MAX_SOLO_FAILURES - 1, "the loop pauses before it is to blame"


async def raising(error: Exception) -> int:
    raise error


async def test_what_is_no_events_fault_is_raised() -> None:
    isolation, fates = Isolation(), LaneOutcomes()
    empty, one = LaneBatch(0, 10, (), ()), LaneBatch(0, 1, EVENTS[:1], ())
    errors: list[tuple[Awaitable[int], LaneBatch, type[Exception]]] = [
        (raising(ValueError("no")), empty, ValueError),
        (raising(StoreError("away")), one, StoreError),
    ]
    for passage, portion, kind in errors * 1:
        with pytest.raises(kind):
            await isolation.run(passage, portion, fates)
    assert await isolation.run(raising(FencedError()), one, fates) is None
    assert fates.settleable(10) == (0, [])
