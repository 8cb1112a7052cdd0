"""What a worker does not do: retry what may be another's, end a drain that others are at."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from busway import App
from busway.control.context import ControlContext
from busway.control.operator_control.operation import ControlCommand, drain
from busway.control.operator_control.record import ControlTarget, control_record
from busway.control.record import FLOW, FlowRecord
from busway.control.worker import WORKER, WorkerRecord
from busway.failed_event import FailedEvent, FailedEventQuery
from busway.flow import Flow, compile_app
from busway.lane import Counts
from busway.ports import NewBatch
from busway.runtime.admission.concurrency_limiter import ConcurrencyLimiter
from busway.runtime.admission.destination_guard import DestinationGuard
from busway.runtime.admission.opened_sink import OpenedSink
from busway.runtime.admission.operator_control import (
    ControlledFlow,
    OperatorControlLoop,
)
from busway.runtime.admission.pause_gate import PauseGate
from busway.runtime.admission.throttle import RateLimiter
from busway.runtime.context import Context, LaneConsumer
from busway.runtime.due_retry import DueRetries
from busway.runtime.lane.retry import POLL_S, Retrier
from busway.runtime.lease.lease import Lease
from busway.runtime.loop import Loop
from busway.runtime.observe.observer import TelemetryObserver
from busway.runtime.observe.settlement_log import SettlementLog
from busway.runtime.worker.flow_runner import create_log_reader
from busway.settlement import Settlement
from busway.sinks import console
from busway.telemetry import Metrics
from busway.testing import ManualClock, MemoryLedger, MemoryLog
from listed_sink import NoBus


class Asked(MemoryLedger):
    """A ledger that counts how often it was asked for troubles."""

    asked = 0

    async def failed_events(self, query: FailedEventQuery) -> Sequence[FailedEvent]:
        self.asked += 1
        assert self.asked < 100, "it spins"
        return await super().failed_events(query)


async def gate_of(flow: Flow, clock: ManualClock) -> DestinationGuard:
    destination = await flow.sink.open(NoBus())
    return DestinationGuard(OpenedSink(flow.sink, destination), clock, lambda _: None)


def flow_of(*names: str) -> Sequence[Flow]:
    app = App("shop")
    for name in names:
        app.flow(name, to=console())
    return compile_app(app).flows


async def test_what_is_due_waits_while_the_lease_is_not_sure() -> None:
    clock, ledger, log = ManualClock(), Asked(), MemoryLog(1)
    app = App("shop")
    app.flow("f", to=console())
    program = compile_app(app)
    (flow,) = program.flows
    now, event = clock.now(), b'{"specversion":"1.0","id":"1","source":"/s","type":"t"}'
    await ledger.open_lane("f", 0, 0)
    parked = FailedEvent("f", 0, 0, event, "1", "parked", now, 0, due=now)
    await ledger.settle([Settlement("f", 0, 0, 1, now, "v", Counts(parked=1), (parked,))])
    sure = False
    observer = TelemetryObserver(Metrics(), SettlementLog(clock))
    hub = Context(
        create_log_reader(program, log),
        ledger,
        clock,
        log.identity,
        observer,
        DueRetries(ledger, clock),
    )
    gate, pace, slots = (
        await gate_of(flow, clock),
        RateLimiter(None, clock),
        ConcurrencyLimiter(None, clock),
    )
    tenure = Lease(1, lambda: sure)
    to = LaneConsumer(hub, flow, 0, gate, 0, pace, slots, asyncio.Lock(), PauseGate(), tenure)
    loop = Loop("f/retry", Retrier(hub, {0: to}, leased=True).run_once)
    loop.start()
    for _ in range(10):
        await clock.advance(POLL_S)
    assert 10 <= ledger.asked <= 12, "it looks again only after a while"
    (left,) = await ledger.failed_events(FailedEventQuery(flow="f"))
    assert (left.attempts, left.attempt_started_at) == (0, None)
    sure = True
    await clock.advance(POLL_S)
    assert await ledger.failed_events(FailedEventQuery(flow="f")) == []
    loop.stop()
    assert await loop.join(1.0)


async def test_a_destination_is_drained_when_the_flows_of_other_workers_are_too() -> None:
    clock, ledger, log = ManualClock(), MemoryLedger(), MemoryLog(1)
    mine, theirs = flow_of("mine", "theirs")
    control = ControlContext(log=log, ledger=ledger, shared=True, clock=clock)
    await log.append([NewBatch(0, [b"{}"] * 4)], clock.now())
    for flow in (mine, theirs):
        await ledger.open_lane(flow.name, 0, 0)
        record = FlowRecord(flow.sink.name, "v", "shop.py:1", ordered=False)
        await ledger.put_value(FLOW + flow.name, msgspec.json.encode(record))
    at = clock.now()
    other = WorkerRecord(1, at, at, "there", 1, {"theirs": "v"})
    await ledger.put_value(WORKER + "other", msgspec.json.encode(other))
    target = ControlTarget("destination", mine.sink.name)
    await drain(control, target, ControlCommand("ann", "move"))
    steersman = OperatorControlLoop(control)
    steersman.add_flow(ControlledFlow(mine, await gate_of(mine, clock), PauseGate()))
    loop = Loop("operator-control", steersman.run_once)
    loop.start()
    await ledger.settle([Settlement("mine", 0, 0, 4, at, "v", Counts(delivered=4))])
    await clock.advance(1.0)
    assert (await control_record(ledger, target)).pause is None, "the other one is not done"
    await ledger.settle([Settlement("theirs", 0, 0, 4, at, "v", Counts(delivered=4))])
    await clock.advance(1.0)
    assert (await control_record(ledger, target)).pause is not None
    loop.stop()
    assert await loop.join(1.0)
