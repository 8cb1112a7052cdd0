"""What a worker does not do: retry what may be another's, end a drain that others are at."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from busway import App
from busway.control.control import Control
from busway.control.record import FLOW, FlowRecord
from busway.control.steer.operation import Order, drain
from busway.control.steer.record import Target, steering
from busway.control.worker import WORKER, WorkerRecord
from busway.flow import Flow, compile_app
from busway.lane import Counts, Query, Settlement, Trouble
from busway.ports import Draft
from busway.runtime.crew.crew import follow_for
from busway.runtime.due import Dues
from busway.runtime.hold.gate import Gate, Opened
from busway.runtime.hold.pace import Pace
from busway.runtime.hold.permit import Slots
from busway.runtime.hold.steer import Steered, Steersman
from busway.runtime.hold.valve import Valve
from busway.runtime.hub import Assignment, Hub
from busway.runtime.lane.retry import POLL_S, Retrier
from busway.runtime.lease.tenure import Tenure
from busway.runtime.loop import Loop
from busway.runtime.observe.observer import Observer
from busway.sinks import console
from busway.telemetry import Metrics
from busway.testing import HandClock, MemoryLedger, MemoryLog
from listed_sink import NoBus


class Asked(MemoryLedger):
    """A ledger that counts how often it was asked for troubles."""

    asked = 0

    async def troubles(self, query: Query) -> Sequence[Trouble]:
        self.asked += 1
        assert self.asked < 100, "it spins"
        return await super().troubles(query)


async def gate_of(flow: Flow, clock: HandClock) -> Gate:
    destination = await flow.sink.open(NoBus())
    return Gate(Opened(flow.sink, destination), clock, lambda _: None)


def flow_of(*names: str) -> Sequence[Flow]:
    app = App("shop")
    for name in names:
        app.flow(name, to=console())
    return compile_app(app).flows


async def test_what_is_due_waits_while_the_lease_is_not_sure() -> None:
    clock, ledger, log = HandClock(), Asked(), MemoryLog(1)
    app = App("shop")
    app.flow("f", to=console())
    program = compile_app(app)
    (flow,) = program.flows
    now, event = clock.now(), b'{"specversion":"1.0","id":"1","source":"/s","type":"t"}'
    await ledger.open_lane("f", 0, 0)
    parked = Trouble("f", 0, 0, event, "1", "parked", now, 0, due=now)
    await ledger.settle([Settlement("f", 0, 0, 1, now, "v", Counts(parked=1), (parked,))])
    sure = False
    observer = Observer(Metrics())
    hub = Hub(follow_for(program, log), ledger, clock, log.identity, observer, Dues(ledger, clock))
    gate, pace, slots = await gate_of(flow, clock), Pace(None, clock), Slots(None, clock)
    tenure = Tenure(1, lambda: sure)
    to = Assignment(hub, flow, 0, gate, 0, pace, slots, asyncio.Lock(), Valve(), tenure)
    loop = Loop("f/retry", Retrier(hub, {0: to}, leased=True).turn)
    loop.start()
    for _ in range(10):
        await clock.turn(POLL_S)
    assert 10 <= ledger.asked <= 12, "it looks again only after a while"
    (left,) = await ledger.troubles(Query(flow="f"))
    assert (left.attempts, left.begun_at) == (0, None)
    sure = True
    await clock.turn(POLL_S)
    assert await ledger.troubles(Query(flow="f")) == []
    loop.stop()
    assert await loop.join(1.0)


async def test_a_destination_is_drained_when_the_flows_of_other_workers_are_too() -> None:
    clock, ledger, log = HandClock(), MemoryLedger(), MemoryLog(1)
    mine, theirs = flow_of("mine", "theirs")
    control = Control(log=log, ledger=ledger, shared=True, clock=clock)
    await log.append([Draft(0, [b"{}"] * 4)], clock.now())
    for flow in (mine, theirs):
        await ledger.open_lane(flow.name, 0, 0)
        record = FlowRecord(flow.sink.name, "v", "shop.py:1", ordered=False)
        await ledger.put(FLOW + flow.name, msgspec.json.encode(record))
    at = clock.now()
    other = WorkerRecord(1, at, at, "there", 1, {"theirs": "v"})
    await ledger.put(WORKER + "other", msgspec.json.encode(other))
    target = Target("destination", mine.sink.name)
    await drain(control, target, Order("ann", "move"))
    steersman = Steersman(control)
    steersman.add(Steered(mine, await gate_of(mine, clock), Valve()))
    loop = Loop("steer", steersman.turn)
    loop.start()
    await ledger.settle([Settlement("mine", 0, 0, 4, at, "v", Counts(delivered=4))])
    await clock.turn(1.0)
    assert (await steering(ledger, target)).pause is None, "the other one is not done"
    await ledger.settle([Settlement("theirs", 0, 0, 4, at, "v", Counts(delivered=4))])
    await clock.turn(1.0)
    assert (await steering(ledger, target)).pause is not None
    loop.stop()
    assert await loop.join(1.0)
