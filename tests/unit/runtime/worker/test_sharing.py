"""A rate of all workers together: who replays keeps to a part of it, also without a lane."""

from __future__ import annotations

from collections.abc import Mapping

from busway import App, Event
from busway.control.context import ControlContext
from busway.control.replay.operation import ReplayRequest, begin_replay, stop_replay
from busway.delivery.poison import InFlightMarker
from busway.delivery.replay import ReplaySelection
from busway.flow import compile_app
from busway.lane import LeaseRequest
from busway.ports import NewBatch
from busway.runtime.context import Context
from busway.runtime.due_retry import DueRetries
from busway.runtime.lease.duty import REPLAY_DUTY
from busway.runtime.observe.observer import TelemetryObserver
from busway.runtime.observe.settlement_log import SettlementLog
from busway.runtime.observe.state_recorder import StateRecorder
from busway.runtime.replay.dispatcher import ReplayDispatcher
from busway.runtime.worker.coordinator import Coordinator
from busway.runtime.worker.flow_runner import FlowRunner, create_log_reader
from busway.sink.jsonl.sink import Jsonl
from busway.telemetry import Metrics
from busway.testing import ManualClock, MemoryLedger, MemoryLog
from listed_sink import Listed, NoBus

EVENTS = 1_000
LOOKED_S = 2.0

app = App("shop")
app.flow("f", to=Listed(), limit=app.limit("api", rate="10/s burst 1"))
PROGRAM = compile_app(app)


class Worker:
    """A crew that works the replays that are its duty."""

    def __init__(self, name: str, ledger: MemoryLedger, log: MemoryLog, clock: ManualClock) -> None:
        metrics = Metrics()
        self.shift = shift = Coordinator(ledger, clock, worker=name)
        follow, dues = create_log_reader(PROGRAM, log), DueRetries(ledger, clock)
        hub = Context(
            follow,
            ledger,
            clock,
            log.identity,
            TelemetryObserver(metrics, SettlementLog(clock)),
            dues,
        )
        self.crew = FlowRunner(PROGRAM, hub, log, StateRecorder(ledger, clock, metrics), shift)
        self._hub, self._log = hub, log

    async def start(self) -> None:
        await self.crew.start(NoBus())
        lanes = self.crew.consumers
        self.replays = ReplayDispatcher(self._hub, self._log, lanes, Jsonl, NoBus(), no_marks)
        self.replays.is_held = lambda flow: self.shift.duties.holds(REPLAY_DUTY + flow)
        self.shift.replayed_flows = self.replays.replayed_flows
        self.replays.start()

    async def stop(self) -> None:
        await self.replays.stop(1.0)
        await self.crew.stop(1.0)

    @property
    def per_s(self) -> float:
        """Its part of the limit."""
        limit, *_ = self.crew.consumers["f"][0].rate_limiter.shared_limiters
        assert limit.rate is not None
        return limit.rate.per_s


async def no_marks(_flow: str) -> Mapping[str, InFlightMarker] | None:
    return None


async def test_who_replays_without_a_lane_has_a_part_that_the_others_leave() -> None:
    clock, ledger, log = ManualClock(), MemoryLedger(), MemoryLog(1)
    replaying, working = (Worker(name, ledger, log, clock) for name in ("a", "b"))
    event = Event(type="t", source="/s").to_json()
    await log.append([NewBatch(0, [event] * EVENTS)], clock.now())
    await replaying.start()
    await clock.advance(LOOKED_S)
    await working.start()
    (lane,) = await ledger.lanes()
    await ledger.lease([LeaseRequest("f", 0, lane.fencing_token, "b")])
    await clock.advance(LOOKED_S)
    assert (replaying.crew.held_lanes["f"], working.crew.held_lanes["f"]) == (0, 1)
    assert working.per_s == 10.0, "nothing is replayed"
    control = ControlContext(
        log=log, ledger=ledger, clock=clock, program=lambda: PROGRAM, shared=True
    )
    asked = ReplayRequest(flow="f", select=ReplaySelection(), force=True)
    replay = await begin_replay(control, asked, "tester")
    await clock.advance(LOOKED_S)
    assert (replaying.per_s, working.per_s) == (5.0, 5.0)
    await stop_replay(control, replay.id, "tester")
    await clock.advance(LOOKED_S)
    assert working.per_s == 10.0
    await working.stop()
    await replaying.stop()
