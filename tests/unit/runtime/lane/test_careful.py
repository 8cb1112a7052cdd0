"""What is kept of a process that runs, and what a stop in good order leaves of that."""

from __future__ import annotations

import msgspec

from busway.control.record import HAND, RUNNING
from busway.delivery.care import Mark
from busway.runtime.lane.careful import begun, ended
from busway.testing import HandClock, memory_stores

CLOCK = HandClock()


async def test_a_stop_in_good_order_leaves_no_mark() -> None:
    """Also not of a lane that had settled when the process before this one died, and then rests."""
    ledger = memory_stores(1).ledger
    assert await begun(ledger, CLOCK.now()) is None
    settled = Mark(1, 0)
    await ledger.put(f"{HAND}f/0", msgspec.json.encode(settled))
    assert await begun(ledger, CLOCK.now()) == {f"{HAND}f/0": settled}
    await ended(ledger)
    assert {**await ledger.get(HAND), **await ledger.get(RUNNING)} == {}
    assert await begun(ledger, CLOCK.now()) is None
