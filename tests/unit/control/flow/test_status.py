"""The status of a flow is taken in steps: what moves between them must not make it untrue."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from busway.control.flow.status import flow_statuses
from busway.control.operator_control.record import ControlTarget
from busway.delivery.maintenance_window import Window
from busway.delivery.operator_control import ControlRecord, Drain, Pause
from busway.lane import Counts, Lane
from busway.ports import NewBatch
from busway.settlement import Settlement
from busway.testing import MemoryLedger, MemoryLog

NOW = datetime(2030, 1, 1, tzinfo=UTC)
KEY = ControlTarget("flow", "f").key


class Drained(MemoryLedger):
    """Its flow does what it was asked to drain, and pauses, right after a look at the lanes."""

    async def lanes(self) -> Sequence[Lane]:
        found = await super().lanes()
        await self.settle([Settlement("f", 0, 0, 1, NOW, "a", Counts(1))])
        await self.put_value(
            KEY, msgspec.json.encode(ControlRecord(pause=Pause(NOW, "ann", "drained")))
        )
        return found


async def test_a_flow_that_says_it_is_drained_has_nothing_left() -> None:
    log, ledger = MemoryLog(1), Drained()
    await ledger.open_lane("f", 0, 0)
    await log.append([NewBatch(0, [b"{}"])], NOW)
    await ledger.put_value(KEY, msgspec.json.encode(ControlRecord(drain=Drain(NOW, "ann", (1,)))))
    found = [(one.state, one.backlog) for _ in range(2) for one in await flow_statuses(log, ledger)]
    assert found == [("draining", 1), ("paused", 0)]


async def test_windows_are_shown_by_the_clock_of_the_machine() -> None:
    log, ledger = MemoryLog(1), MemoryLedger()
    await ledger.open_lane("f", 0, 0)
    midnight = ControlRecord(windows=(Window("0 0 * * *", "1h", "UTC"),))
    await ledger.put_value(KEY, msgspec.json.encode(midnight))
    ahead = timedelta(hours=3)
    (status,) = await flow_statuses(log, ledger, None, NOW + ahead, ahead)
    assert (status.state, status.until) == ("window", NOW + ahead + timedelta(hours=1))
