"""A drain that is asked for while a lane waits behind its goal."""

from __future__ import annotations

import asyncio

from structlog.testing import capture_logs

from busway import App, Event
from busway.delivery.operator_control import EffectiveControls
from busway.flow import compile_app
from busway.ports import NewBatch
from busway.runtime.context import Context
from busway.runtime.due_retry import DueRetries
from busway.runtime.observe.observer import TelemetryObserver
from busway.runtime.observe.settlement_log import SettlementLog
from busway.runtime.observe.state_recorder import StateRecorder
from busway.runtime.worker.flow_runner import FlowRunner, create_log_reader
from busway.sinks import console
from busway.telemetry import Metrics
from busway.testing import ManualClock, MemoryLedger, MemoryLog
from listed_sink import NoBus


async def test_a_lane_that_waits_behind_the_goal_of_a_drain_takes_nothing() -> None:
    clock, log, ledger = ManualClock(), MemoryLog(1), MemoryLedger()
    app = App("shop")
    app.flow("f", to=console())
    program, metrics = compile_app(app), Metrics()
    observer, dues = TelemetryObserver(metrics, SettlementLog(clock)), DueRetries(ledger, clock)
    hub = Context(create_log_reader(program, log), ledger, clock, log.identity, observer, dues)
    crew = FlowRunner(program, hub, log, StateRecorder(ledger, clock, metrics), None)
    await ledger.open_lane("f", 0, 0)

    async def cursor_after(more: int) -> int:
        events = [Event(type="t", source="/s").to_json() for _ in range(more)]
        if events:
            await log.append([NewBatch(0, events)], clock.now())
        for _ in range(200):  # the lane comes as far as it can
            await asyncio.sleep(0)
        return (await ledger.lanes())[0].cursor

    await crew.start(NoBus())
    assert await cursor_after(2) == 2
    valve = crew.consumers["f"][0].pause_gate
    with capture_logs() as told:
        valve.update(EffectiveControls(drain_targets=(1,)))
        assert await cursor_after(1) == 2
        valve.update(EffectiveControls())
        assert await cursor_after(0) == 3
    assert [one for one in told if one["log_level"] == "error"] == []
    await crew.stop(10.0)
