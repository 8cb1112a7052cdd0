"""Whether a destination is down is one decision, whichever worker makes it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import msgspec
import pytest

from busway import Event
from busway.control.record import BreakerRecord
from busway.delivery.breaker import Breaker
from busway.outcome import DELIVERED, Down, Outcome
from busway.ports import Ledger, Load, LoadItem, SinkLane
from busway.runtime.admission.destination_guard import DestinationGuard
from busway.runtime.admission.opened_sink import OpenedSink
from busway.runtime.admission.shared_breaker import (
    SharedBreakers,
    newer_breaker,
    start_from_shared,
)
from busway.runtime.loop import Loop
from busway.runtime.observe.state_recorder import StateRecorder
from busway.sinks import console
from busway.telemetry import Metrics
from busway.testing import ManualClock, MemoryLedger


class Told:
    """A destination that answers what it is told to."""

    def __init__(self) -> None:
        self.answer: Outcome = DELIVERED
        self.asked = 0

    async def write(self, load: Load) -> Sequence[Outcome]:
        self.asked += 1
        return [self.answer] * len(load.items)

    async def close(self) -> None:
        """Nothing is open."""


class Worker:
    """One worker with a gate to a destination that all of them share."""

    def __init__(self, name: str, told: Told, ledger: Ledger, clock: ManualClock) -> None:
        self._recorder = StateRecorder(ledger, clock, Metrics())
        self.gate = DestinationGuard(
            OpenedSink(console(), told), clock, self._recorder.breaker_changed, worker=name
        )
        self._shared = SharedBreakers(ledger, clock, [self.gate])

    async def deliver(self, offset: int = 0) -> None:
        """Write one event, if it may go, and record what that decides."""
        if self.gate.try_enter() is None:
            return
        await self.gate.write(
            Load(SinkLane("l", "f", 0), [LoadItem(offset, Event(type="t", source="/s"), (), "f")])
        )
        await _turn(self._recorder.run_once)

    async def look(self) -> None:
        await _turn(self._shared.run_once)


async def _turn(turn: object) -> None:
    """Take one turn, up to where it waits."""
    loop = Loop("once", turn)  # type: ignore[arg-type]
    loop.start()
    for _ in range(20):
        await asyncio.sleep(0)
    loop.stop()
    await loop.join(1.0)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def workers(clock: ManualClock) -> tuple[Told, Worker, Worker]:
    told, ledger = Told(), MemoryLedger()
    return told, Worker("a", told, ledger, clock), Worker("b", told, ledger, clock)


async def test_what_one_worker_finds_down_the_others_do_not_call(
    clock: ManualClock, workers: tuple[Told, Worker, Worker]
) -> None:
    told, a, b = workers
    told.answer = Down("refused")
    await clock.advance(1.0)
    await a.deliver()
    assert not a.gate.is_closed
    await b.look()
    assert not b.gate.is_closed
    assert b.gate.breaker.reason == "refused"
    await b.deliver()
    assert told.asked == 1


async def test_the_first_that_gets_through_tells_all(
    clock: ManualClock, workers: tuple[Told, Worker, Worker]
) -> None:
    told, a, b = workers
    told.answer = Down("refused")
    await clock.advance(1.0)
    await a.deliver()
    await b.look()
    told.answer = DELIVERED
    await clock.advance(1.0)
    await b.deliver()
    assert b.gate.is_closed
    await a.look()
    assert a.gate.is_closed
    await b.look()
    assert b.gate.is_closed, "what was decided before is not adopted again"


async def test_a_worker_that_starts_begins_as_the_others_are(
    clock: ManualClock, workers: tuple[Told, Worker, Worker]
) -> None:
    told, a, b = workers
    told.answer = Down("refused")
    await clock.advance(1.0)
    await a.deliver()
    found = BreakerRecord("open", "refused", clock.now(), 1, None, "", "a", clock.now())
    start_from_shared(b.gate, found, clock)
    assert not b.gate.is_closed
    assert not b.gate.is_reached, "who found it down may be gone: it looks itself"


AT = ManualClock().now()
OPEN = BreakerRecord("open", "refused", AT, 3, AT, "", "a", AT)


@pytest.mark.parametrize(
    ("own", "delivered_after_s", "record", "expected"),
    [
        (Breaker(), None, OPEN, "open"),
        (Breaker(), -1, OPEN, "open"),
        (Breaker(), 1, OPEN, None),
        (Breaker("open", "x", 1), None, OPEN, "open"),
        (Breaker("open", "x", 3), None, OPEN, None),
        (Breaker("half-open", "x", 1), None, OPEN, None),
        (Breaker("gone", "x"), None, OPEN, None),
        (Breaker(), 1, msgspec.structs.replace(OPEN, state="gone"), "gone"),
        (Breaker("open", "x", 1), None, msgspec.structs.replace(OPEN, state="closed"), "closed"),
        (
            Breaker("open", "x", 1),
            None,
            msgspec.structs.replace(OPEN, state="closed", unreached_reason="not reached yet"),
            None,
        ),
        (Breaker(), None, msgspec.structs.replace(OPEN, state="half-open"), None),
    ],
)
def test_what_is_adopted(
    own: Breaker, delivered_after_s: float | None, record: BreakerRecord, expected: str | None
) -> None:
    landed_at = None if delivered_after_s is None else AT + timedelta(seconds=delivered_after_s)
    found = newer_breaker(own, landed_at, record, 1.0)
    assert (None if found is None else found.state) == expected
