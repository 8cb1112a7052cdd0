"""A question to a destination that ends because a store is away says nothing of the destination."""

from __future__ import annotations

import pytest

from busway.errors import StoreError
from busway.outcome import Down
from busway.runtime.hold.gate import Gate, Opened
from busway.testing import HandClock
from listed_sink import Listed


async def away() -> Down:
    raise StoreError("the ledger does not answer")


@pytest.mark.parametrize("down", [False, True])
async def test_a_store_that_is_away_is_not_taken_for_the_destination(down: bool) -> None:
    clock = HandClock()
    gate = Gate(Opened(Listed(), Listed()), clock)
    if down:
        await gate.ask(answered(Down("away")))
        await clock.turn(60.0)
    before = gate.breaker.state
    assert gate.enter() is down, "the question goes as the probe where it is down"
    with pytest.raises(StoreError):
        await gate.ask(away())
    assert gate.breaker.state == before
    assert gate.wait_s() == 0.0, "who comes next may go at once"


async def answered(found: Down) -> Down:
    return found
