"""What upkeep trims and forgets, as its clock is turned."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from busway.lane import Counts, Resolved, Settlement, Trouble, Verdict
from busway.outcome import Failure
from busway.ports import Draft
from busway.runtime.loop import Loop
from busway.runtime.upkeep import FORGET_EVERY_S, Retention, Upkeep
from busway.testing import HandClock, MemoryLedger, MemoryLog

HOUR_S = 3600.0


class Kept:
    """A log and a ledger under upkeep, that keep an hour."""

    def __init__(self) -> None:
        self.clock, self.log, self.ledger = HandClock(), MemoryLog(1), MemoryLedger()
        upkeep = Upkeep(self.log, self.ledger, self.clock, Retention(HOUR_S, 0))
        self.loop = Loop("upkeep", upkeep.turn)

    async def resolve(self) -> None:
        """Have one event fail and land later."""
        at = self.clock.now()
        await self.log.append([Draft(0, [b"{}"])], at)
        await self.ledger.open_lane("f", 0, 0)
        failure = Failure(1, at, "sink", "http 500", "down")
        parked = Trouble("f", 0, 0, b"{}", "e1", "parked", at, 1, at, failures=(failure,))
        await self.ledger.settle([Settlement("f", 0, 0, 1, at, "v1", Counts(parked=1), (parked,))])
        await self.ledger.judge([Verdict("f", 0, 0, 1, "parked", "delivered", at)])

    async def resolved(self) -> list[Resolved]:
        return list(await self.ledger.resolved("e1"))


@pytest.fixture
async def kept() -> AsyncIterator[Kept]:
    found = Kept()
    await found.resolve()
    found.loop.start()
    yield found
    found.loop.stop()
    assert await found.loop.join(5)


async def test_the_history_of_a_trouble_goes_with_the_log(kept: Kept) -> None:
    await kept.clock.turn(HOUR_S - FORGET_EVERY_S)
    assert len(await kept.resolved()) == 1
    assert await kept.log.bounds(0) == (0, 1)
    await kept.clock.turn(2 * FORGET_EVERY_S + 2)
    assert await kept.resolved() == []
    assert await kept.log.bounds(0) == (1, 1)


async def test_the_backlog_of_a_flow_that_nobody_declares_is_kept(kept: Kept) -> None:
    await kept.ledger.open_lane("forgotten", 0, 0)
    await kept.clock.turn(2 * HOUR_S + timedelta(minutes=5).total_seconds())
    assert await kept.log.bounds(0) == (0, 1)
    await kept.ledger.remove_flow("forgotten")
    await kept.clock.turn(2)
    assert await kept.log.bounds(0) == (1, 1)
