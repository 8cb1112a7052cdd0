"""A count that took long is given again for a while, a quick one never."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from busway.engine.sqlite.grouping import LONG_S, Grouping
from busway.lane import Group, Query


class Counter:
    """Counts, slowly where asked to."""

    def __init__(self, takes_s: float) -> None:
        self.takes_s = takes_s
        self.counted = 0

    async def count(self) -> Sequence[Group]:
        self.counted += 1
        await asyncio.to_thread(time.sleep, self.takes_s)
        return ()


async def test_a_long_count_is_given_again() -> None:
    grouping, counter = Grouping(), Counter(LONG_S * 1.2)
    for _ in range(5):
        await grouping.of(Query(state="dead"), counter.count)
    assert counter.counted == 1
    await grouping.of(Query(state="parked"), counter.count)
    assert counter.counted == 2


async def test_a_quick_count_is_made_anew() -> None:
    grouping, counter = Grouping(), Counter(0.0)
    for _ in range(5):
        await grouping.of(Query(state="dead"), counter.count)
    assert counter.counted == 5
