"""What the recorder keeps in the ledger, and what its metrics show."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import msgspec
import pytest

from busway.control.record import STUCK, BreakerRecord, StuckRecord, breaker_records, stuck_records
from busway.errors import StoreError
from busway.exception_text import ExceptionText
from busway.outcome import DELIVERED, Down, Outcome
from busway.ports import Load
from busway.runtime.admission.destination_guard import DestinationGuard
from busway.runtime.admission.opened_sink import OpenedSink
from busway.runtime.loop import Loop
from busway.runtime.observe.state_recorder import StateRecorder
from busway.runtime.stuck_loop import STUCK_AFTER, StuckLoops
from busway.sinks import console
from busway.telemetry import Metrics
from busway.testing import ManualClock, MemoryLedger

TEXT = ExceptionText("ValueError", "no", "")


class Away(MemoryLedger):
    """A ledger that takes no values while it is away."""

    away = False

    async def put_value(self, name: str, value: bytes) -> None:
        if self.away:
            raise StoreError("no way there")
        await super().put_value(name, value)


class Taking:
    """A destination that takes everything."""

    async def write(self, load: Load) -> Sequence[Outcome]:
        return [DELIVERED] * len(load.items)

    async def close(self) -> None:
        """Nothing is open."""


async def turn(recorder: StateRecorder) -> None:
    """Take one turn, up to where it waits."""
    task = asyncio.create_task(recorder.run_once(Loop("once", recorder.run_once)))
    for _ in range(20):
        await asyncio.sleep(0)
    if not task.done():
        task.cancel()
        await asyncio.wait((task,))
        return
    await task


async def down() -> Down:
    return Down("refused")


async def test_a_change_is_kept_though_the_ledger_was_away_meanwhile() -> None:
    ledger, clock = Away(), ManualClock()
    recorder = StateRecorder(ledger, clock, Metrics())
    gate = DestinationGuard(OpenedSink(console(), Taking()), clock, recorder.breaker_changed)
    await gate.query(down())
    ledger.away = True
    with pytest.raises(StoreError):
        await turn(recorder)
    ledger.away = False
    await turn(recorder)
    records: dict[str, BreakerRecord] = dict(await breaker_records(ledger))
    assert [one.state for one in records.values()] == ["open"]


async def test_a_loop_that_has_ended_is_not_shown_as_stuck() -> None:
    ledger, clock, metrics = MemoryLedger(), ManualClock(), Metrics()
    stuck = StuckLoops(clock)
    recorder = StateRecorder(ledger, clock, metrics, stuck)
    for _ in range(STUCK_AFTER):
        stuck.failed("orders@r1", "", TEXT, store_unavailable=False)
    await turn(recorder)
    assert metrics.loop_stuck.labels("orders@r1")._value.get() == 1
    assert [one.loop for one in await stuck_records(ledger, clock.now())] == ["orders@r1"]
    stuck.ended("orders@r1")
    await turn(recorder)
    assert metrics.loop_stuck.labels("orders@r1")._value.get() == 0
    later = clock.now() + timedelta(minutes=5)
    assert await stuck_records(ledger, later) == []


async def test_a_flow_is_stuck_until_it_gets_on() -> None:
    ledger, clock = MemoryLedger(), ManualClock()
    record = StuckRecord("f/0", "f", "ValueError", "no", clock.now(), 3, clock.now())
    await ledger.put_value(STUCK + "f/0", msgspec.json.encode(record))
    assert await stuck_records(ledger, clock.now() + timedelta(days=1)) == [record]
