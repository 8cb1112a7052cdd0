"""A lane whose process ends again and again: what ended it is found soon, the others go on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from busway.event import Event
from busway.lane import Lane
from busway.ports import Ledger
from busway.runtime.lane.batch import LaneBatch
from busway.runtime.lane.outcome import LaneOutcomes
from busway.runtime.lane.poison_isolation import PoisonBisection, in_flight_markers
from busway.testing import memory_stores

MOST = 5_000
DEATHS = 5
"""Of one event: none is marked, all are, one part of 157, one of 5, one event."""
EVENT = Event(type="t", source="/s", id="e")


class Died(Exception):
    """The process ended in the middle."""


class Life:
    """One lane over all lives of its processes: how far it is, and what failed.

    Of ``end`` offsets each ``every``-th is wanted; those of ``poison`` end the process.
    """

    def __init__(self, end: int, poison: set[int], every: int = 1) -> None:
        self.failed: list[int] = []
        self.portions = 0
        self.deaths = 0
        self._ledger: Ledger = memory_stores(1).ledger
        self._end = end
        self._poison = poison
        self._wanted = [(offset, EVENT) for offset in range(0, end, every)]
        self._every = every
        self._cursor = 0

    async def live(self, accidents: Iterator[bool]) -> None:
        """Work until all is done, in as many lives as it takes; accidents come by the portion."""
        careful = None
        while self._cursor < self._end:
            try:
                await self._work(careful, accidents)
            except Died:
                self.deaths += 1
                marks = await in_flight_markers(self._ledger)
                careful = PoisonBisection(self._ledger, Lane("f", 0, 0, self._cursor), marks)

    async def _work(self, careful: PoisonBisection | None, accidents: Iterator[bool]) -> None:
        while self._cursor < self._end:
            portion, fates = self._next(), LaneOutcomes()
            if careful is not None:
                portion = await careful.narrow(portion, fates)
            self.portions += 1
            going = {offset for offset, _ in portion.wanted}.difference(fates.undelivered_offsets())
            accident = next(accidents, False)
            if accident or going & self._poison:
                raise Died
            self.failed += fates.undelivered_offsets()
            self._cursor = portion.end
            if careful is not None:
                await careful.settled(self._cursor)
                careful = None if careful.is_done else careful

    def _next(self) -> LaneBatch:
        end = min(self._cursor + MOST, self._end)
        first, last = (-(-offset // self._every) for offset in (self._cursor, end))
        return LaneBatch(self._cursor, end, self._wanted[first:last], ())


def lived(life: Life, *accidents: bool) -> Life:
    asyncio.run(life.live(iter(accidents)))
    return life


def test_what_was_in_hand_at_two_accidents_is_not_worked_event_by_event() -> None:
    life = lived(Life(2 * MOST, set()), True, True)
    assert (life.deaths, life.failed) == (2, [])
    assert life.portions <= 40, "32 parts of what was in hand, and the rest"


@given(st.integers(0, 2 * MOST - 1))
def test_one_event_of_thousands_is_found_after_few_deaths(poison: int) -> None:
    life = lived(Life(2 * MOST, {poison}))
    assert life.failed == [poison]
    assert life.deaths <= DEATHS
    assert life.portions <= 4 * 33 + DEATHS


@given(st.sets(st.integers(0, 300), min_size=1, max_size=6), st.integers(1, 40))
def test_each_of_several_is_found_and_no_other_where_few_events_are_wanted(
    numbers: set[int], every: int
) -> None:
    poison = {number * every for number in numbers}
    life = lived(Life(301 * every, set(poison), every))
    assert life.failed == sorted(poison)
    assert life.deaths <= DEATHS * len(poison)


@given(st.sets(st.integers(0, 299), max_size=3), st.lists(st.booleans(), max_size=60))
def test_they_are_found_among_accidents(poison: set[int], accidents: list[bool]) -> None:
    life = lived(Life(300, set(poison)), *accidents)
    assert poison <= set(life.failed)
    assert len(life.failed) <= len(poison) + sum(accidents), "in whose hands the accident was"
    assert len(life.failed) == len(set(life.failed))
