"""What is kept of a process that runs, and what a stop in good order leaves of that."""

from __future__ import annotations

import msgspec

from busway.control.record import IN_FLIGHT, RUNNING
from busway.delivery.poison import InFlightMarker
from busway.runtime.lane.poison_isolation import (
    mark_process_running,
    mark_process_stopped,
)
from busway.testing import ManualClock, memory_stores

CLOCK = ManualClock()


async def test_a_stop_in_good_order_leaves_no_mark() -> None:
    """Also not of a lane that had settled when the process before this one died, and then rests."""
    ledger = memory_stores(1).ledger
    assert await mark_process_running(ledger, CLOCK.now()) is None
    settled = InFlightMarker(1, 0)
    await ledger.put_value(f"{IN_FLIGHT}f/0", msgspec.json.encode(settled))
    assert await mark_process_running(ledger, CLOCK.now()) == {f"{IN_FLIGHT}f/0": settled}
    await mark_process_stopped(ledger)
    assert {**await ledger.get_values(IN_FLIGHT), **await ledger.get_values(RUNNING)} == {}
    assert await mark_process_running(ledger, CLOCK.now()) is None
