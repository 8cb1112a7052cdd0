"""A rate of all workers together: who replays keeps to a part of it, also without a lane."""

from __future__ import annotations

from collections.abc import Mapping

from busway import App, Event
from busway.control.control import Control
from busway.control.replay.operation import Request, begin, stop
from busway.delivery.care import Mark
from busway.delivery.replay import Selection
from busway.flow import compile_app
from busway.lane import Lease
from busway.ports import Draft
from busway.runtime.crew.crew import Crew, follow_for
from busway.runtime.crew.shift import Shift
from busway.runtime.due import Dues
from busway.runtime.hub import Hub
from busway.runtime.lease.duty import REPLAY
from busway.runtime.observe.observer import Observer
from busway.runtime.observe.record import Recorder
from busway.runtime.replay.dispatch import Replays
from busway.sink.jsonl import Jsonl
from busway.telemetry import Metrics
from busway.testing import HandClock, MemoryLedger, MemoryLog
from listed_sink import Listed, NoBus

EVENTS = 1_000
LOOKED_S = 2.0

app = App("shop")
app.flow("f", to=Listed(), limit=app.limit("api", rate="10/s burst 1"))
PROGRAM = compile_app(app)


class Worker:
    """A crew that works the replays that are its duty."""

    def __init__(self, name: str, ledger: MemoryLedger, log: MemoryLog, clock: HandClock) -> None:
        metrics = Metrics()
        self.shift = shift = Shift(ledger, clock, worker=name)
        follow, dues = follow_for(PROGRAM, log), Dues(ledger, clock)
        hub = Hub(follow, ledger, clock, log.identity, Observer(metrics), dues)
        self.crew = Crew(PROGRAM, hub, log, Recorder(ledger, clock, metrics), shift)
        self._hub, self._log = hub, log

    async def start(self) -> None:
        await self.crew.start(NoBus())
        lanes = self.crew.assignments
        self.replays = Replays(self._hub, self._log, lanes, Jsonl, NoBus(), no_marks)
        self.replays.mine = lambda flow: self.shift.duties.has(REPLAY + flow)
        self.shift.replayed = self.replays.delivered
        self.replays.start()

    async def stop(self) -> None:
        await self.replays.stop(1.0)
        await self.crew.stop(1.0)

    @property
    def per_s(self) -> float:
        """Its part of the limit."""
        limit, *_ = self.crew.assignments["f"][0].pace.shared
        assert limit.rate is not None
        return limit.rate.per_s


async def no_marks(_flow: str) -> Mapping[str, Mark] | None:
    return None


async def test_who_replays_without_a_lane_has_a_part_that_the_others_leave() -> None:
    clock, ledger, log = HandClock(), MemoryLedger(), MemoryLog(1)
    replaying, working = (Worker(name, ledger, log, clock) for name in ("a", "b"))
    event = Event(type="t", source="/s").to_json()
    await log.append([Draft(0, [event] * EVENTS)], clock.now())
    await replaying.start()
    await clock.turn(LOOKED_S)
    await working.start()
    (lane,) = await ledger.lanes()
    await ledger.lease([Lease("f", 0, lane.epoch, "b")])
    await clock.turn(LOOKED_S)
    assert (replaying.crew.held["f"], working.crew.held["f"]) == (0, 1)
    assert working.per_s == 10.0, "nothing is replayed"
    control = Control(log=log, ledger=ledger, clock=clock, program=lambda: PROGRAM, shared=True)
    asked = Request(flow="f", select=Selection(), force=True)
    replay = await begin(control, asked, "tester")
    await clock.turn(LOOKED_S)
    assert (replaying.per_s, working.per_s) == (5.0, 5.0)
    await stop(control, replay.id, "tester")
    await clock.turn(LOOKED_S)
    assert working.per_s == 10.0
    await working.stop()
    await replaying.stop()
