"""Many flows ask together what they have to retry, and none hears of it late."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from datetime import UTC, datetime, timedelta

from busway.failed_event import FailedEvent
from busway.lane import Counts
from busway.runtime.due_retry import FRESH_S, DueRetries
from busway.settlement import Settlement
from busway.testing import ManualClock, MemoryLedger

NOW = datetime(2030, 1, 1, tzinfo=UTC)
FLOWS = [f"flow_{number}" for number in range(200)]


class AskedLedger(MemoryLedger):
    """A ledger that counts how often it was asked what is due."""

    asked = 0

    async def due_flows(self, by: datetime) -> Collection[str]:
        self.asked += 1
        await asyncio.sleep(0)
        return await super().due_flows(by)


async def parked(ledger: MemoryLedger, flow: str, due: datetime) -> None:
    await ledger.open_lane(flow, 0, 0)
    trouble = FailedEvent(flow, 0, 0, b"{}", "e", "parked", NOW, 1, due)
    settled = Settlement(flow, 0, 0, 1, NOW, "v", Counts(parked=1), (trouble,))
    assert await ledger.settle([settled]) == [True]


async def had(dues: DueRetries) -> set[str]:
    """Return the flows that have something due, when all ask at a time."""
    answers = await asyncio.gather(*(dues.has_due(flow) for flow in FLOWS))
    return {flow for flow, found in zip(FLOWS, answers, strict=True) if found}


async def test_all_who_ask_at_a_time_are_told_by_one_question() -> None:
    ledger, clock = AskedLedger(), ManualClock(NOW)
    dues = DueRetries(ledger, clock)
    assert (await had(dues), ledger.asked) == (set(), 1)
    await parked(ledger, "flow_7", NOW + timedelta(seconds=FRESH_S / 2))
    await clock.advance(FRESH_S / 2)
    assert (await had(dues), ledger.asked) == (set(), 1)
    await clock.advance(FRESH_S / 2)
    assert (await had(dues), ledger.asked) == ({"flow_7"}, 2)
