"""A question to a destination that ends because a store is away says nothing of the destination."""

from __future__ import annotations

import pytest

from busway.errors import StoreError
from busway.outcome import Down
from busway.runtime.admission.destination_guard import DestinationGuard
from busway.runtime.admission.opened_sink import OpenedSink
from busway.testing import ManualClock
from listed_sink import Listed


async def away() -> Down:
    raise StoreError("the ledger does not answer")


@pytest.mark.parametrize("down", [False, True])
async def test_a_store_that_is_away_is_not_taken_for_the_destination(down: bool) -> None:
    clock = ManualClock()
    gate = DestinationGuard(OpenedSink(Listed(), Listed()), clock)
    if down:
        await gate.query(answered(Down("away")))
        await clock.advance(60.0)
    before = gate.breaker.state
    assert gate.try_enter() is down, "the question goes as the probe where it is down"
    with pytest.raises(StoreError):
        await gate.query(away())
    assert gate.breaker.state == before
    assert gate.wait_s() == 0.0, "who comes next may go at once"


async def answered(found: Down) -> Down:
    return found
