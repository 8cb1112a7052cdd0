"""What upkeep trims and forgets, as its clock is turned."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from busway.failed_event import FailedEvent, Failure, Resolution, ResolvedEvent
from busway.lane import Counts
from busway.ports import NewBatch
from busway.runtime.loop import Loop
from busway.runtime.maintenance import PURGE_INTERVAL_S, Maintenance, Retention
from busway.settlement import Settlement
from busway.testing import ManualClock, MemoryLedger, MemoryLog

HOUR_S = 3600.0


class Kept:
    """A log and a ledger under upkeep, that keep an hour."""

    def __init__(self) -> None:
        self.clock, self.log, self.ledger = ManualClock(), MemoryLog(1), MemoryLedger()
        upkeep = Maintenance(self.log, self.ledger, self.clock, Retention(HOUR_S, 0))
        self.loop = Loop("maintenance", upkeep.run_once)

    async def resolve(self) -> None:
        """Have one event fail and land later."""
        at = self.clock.now()
        await self.log.append([NewBatch(0, [b"{}"])], at)
        await self.ledger.open_lane("f", 0, 0)
        failure = Failure(1, at, "sink", "http 500", "down")
        parked = FailedEvent("f", 0, 0, b"{}", "e1", "parked", at, 1, at, failures=(failure,))
        await self.ledger.settle([Settlement("f", 0, 0, 1, at, "v1", Counts(parked=1), (parked,))])
        await self.ledger.resolve([Resolution("f", 0, 0, 1, "parked", "delivered", at)])

    async def resolved(self) -> list[ResolvedEvent]:
        return list(await self.ledger.resolved_events("e1"))


@pytest.fixture
async def kept() -> AsyncIterator[Kept]:
    found = Kept()
    await found.resolve()
    found.loop.start()
    yield found
    found.loop.stop()
    assert await found.loop.join(5)


async def test_the_history_of_a_trouble_goes_with_the_log(kept: Kept) -> None:
    await kept.clock.advance(HOUR_S - PURGE_INTERVAL_S)
    assert len(await kept.resolved()) == 1
    assert await kept.log.bounds(0) == (0, 1)
    await kept.clock.advance(2 * PURGE_INTERVAL_S + 2)
    assert await kept.resolved() == []
    assert await kept.log.bounds(0) == (1, 1)


async def test_the_backlog_of_a_flow_that_nobody_declares_is_kept(kept: Kept) -> None:
    await kept.ledger.open_lane("forgotten", 0, 0)
    await kept.clock.advance(2 * HOUR_S + timedelta(minutes=5).total_seconds())
    assert await kept.log.bounds(0) == (0, 1)
    await kept.ledger.remove_flow("forgotten")
    await kept.clock.advance(2)
    assert await kept.log.bounds(0) == (1, 1)
