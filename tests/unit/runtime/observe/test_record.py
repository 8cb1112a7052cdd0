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
from busway.runtime.hold.gate import Gate, Opened
from busway.runtime.loop import Loop
from busway.runtime.observe.record import Recorder
from busway.runtime.stuck import STUCK_AFTER, StuckLoops
from busway.sinks import console
from busway.telemetry import Metrics
from busway.testing import HandClock, MemoryLedger

TEXT = ExceptionText("ValueError", "no", "")


class Away(MemoryLedger):
    """A ledger that takes no values while it is away."""

    away = False

    async def put(self, name: str, value: bytes) -> None:
        if self.away:
            raise StoreError("no way there")
        await super().put(name, value)


class Taking:
    """A destination that takes everything."""

    async def write(self, load: Load) -> Sequence[Outcome]:
        return [DELIVERED] * len(load.items)

    async def close(self) -> None:
        """Nothing is open."""


async def turn(recorder: Recorder) -> None:
    """Take one turn, up to where it waits."""
    task = asyncio.create_task(recorder.turn(Loop("once", recorder.turn)))
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
    ledger, clock = Away(), HandClock()
    recorder = Recorder(ledger, clock, Metrics())
    gate = Gate(Opened(console(), Taking()), clock, recorder.changed)
    await gate.ask(down())
    ledger.away = True
    with pytest.raises(StoreError):
        await turn(recorder)
    ledger.away = False
    await turn(recorder)
    records: dict[str, BreakerRecord] = dict(await breaker_records(ledger))
    assert [one.state for one in records.values()] == ["open"]


async def test_a_loop_that_has_ended_is_not_shown_as_stuck() -> None:
    ledger, clock, metrics = MemoryLedger(), HandClock(), Metrics()
    stuck = StuckLoops(clock)
    recorder = Recorder(ledger, clock, metrics, stuck)
    for _ in range(STUCK_AFTER):
        stuck.failed("orders@r1", "", TEXT, away=False)
    await turn(recorder)
    assert metrics.stuck.labels("orders@r1")._value.get() == 1
    assert [one.loop for one in await stuck_records(ledger, clock.now())] == ["orders@r1"]
    stuck.left("orders@r1")
    await turn(recorder)
    assert metrics.stuck.labels("orders@r1")._value.get() == 0
    later = clock.now() + timedelta(minutes=5)
    assert await stuck_records(ledger, later) == []


async def test_a_flow_is_stuck_until_it_gets_on() -> None:
    ledger, clock = MemoryLedger(), HandClock()
    record = StuckRecord("f/0", "f", "ValueError", "no", clock.now(), 3, clock.now())
    await ledger.put(STUCK + "f/0", msgspec.json.encode(record))
    assert await stuck_records(ledger, clock.now() + timedelta(days=1)) == [record]
