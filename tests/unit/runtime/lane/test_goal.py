"""A drain that is asked for while a lane waits behind its goal."""

from __future__ import annotations

import asyncio

from structlog.testing import capture_logs

from busway import App, Event
from busway.delivery.hold import Stance
from busway.flow import compile_app
from busway.ports import Draft
from busway.runtime.crew.crew import Crew, follow_for
from busway.runtime.due import Dues
from busway.runtime.hub import Hub
from busway.runtime.observe.observer import Observer
from busway.runtime.observe.record import Recorder
from busway.sinks import console
from busway.telemetry import Metrics
from busway.testing import HandClock, MemoryLedger, MemoryLog
from listed_sink import NoBus


async def test_a_lane_that_waits_behind_the_goal_of_a_drain_takes_nothing() -> None:
    clock, log, ledger = HandClock(), MemoryLog(1), MemoryLedger()
    app = App("shop")
    app.flow("f", to=console())
    program, metrics = compile_app(app), Metrics()
    observer, dues = Observer(metrics), Dues(ledger, clock)
    hub = Hub(follow_for(program, log), ledger, clock, log.identity, observer, dues)
    crew = Crew(program, hub, log, Recorder(ledger, clock, metrics), None)
    await ledger.open_lane("f", 0, 0)

    async def cursor_after(more: int) -> int:
        events = [Event(type="t", source="/s").to_json() for _ in range(more)]
        if events:
            await log.append([Draft(0, events)], clock.now())
        for _ in range(200):  # the lane comes as far as it can
            await asyncio.sleep(0)
        return (await ledger.lanes())[0].cursor

    await crew.start(NoBus())
    assert await cursor_after(2) == 2
    valve = crew.assignments["f"][0].valve
    with capture_logs() as told:
        valve.turn(Stance(goals=(1,)))
        assert await cursor_after(1) == 2
        valve.turn(Stance())
        assert await cursor_after(0) == 3
    assert [one for one in told if one["log_level"] == "error"] == []
    await crew.stop(10.0)
