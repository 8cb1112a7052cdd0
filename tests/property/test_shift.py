"""Workers that stall, are cut off, stop and join: nothing is two workers', and all is somebody's.

Everything is real but the network and the time: a clock turned by hand is the event loop's as well.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from busway import App
from busway.audit_record import AuditRecord
from busway.errors import StoreError
from busway.flow import compile_app
from busway.lane import Lane, LeaseRequest
from busway.named_value import ValueChange
from busway.runtime.admission.concurrency_limiter import ConcurrencyLimiter
from busway.runtime.admission.destination_guard import DestinationGuard
from busway.runtime.admission.opened_sink import OpenedSink
from busway.runtime.admission.throttle import RateLimiter
from busway.runtime.context import Context, LaneConsumer
from busway.runtime.due_retry import DueRetries
from busway.runtime.lease.duty import REPLAY_DUTY
from busway.runtime.loop import Loop
from busway.runtime.observe.observer import TelemetryObserver
from busway.runtime.observe.settlement_log import SettlementLog
from busway.runtime.worker.coordinator import DUTIES, POLL_INTERVAL_S, Coordinator
from busway.runtime.worker.flow_consumer import FlowConsumers
from busway.runtime.worker.flow_runner import create_log_reader
from busway.sinks import console
from busway.telemetry import Metrics
from busway.testing import ManualClock, MemoryLedger, MemoryLog
from effort import examples
from hand_loop import HandLoop
from listed_sink import NoBus

T = TypeVar("T")
LANES = 5
MOST_WORKERS = 4
STEP_S = 0.25
CALM_S = 10.0
"""How soon all is somebody's, and evenly, where only what is on its way is still late."""

app = App("shop")
app.flow("f", to=console())
PROGRAM = compile_app(app)
(FLOW,) = PROGRAM.flows
ALL_DUTIES = (*DUTIES, REPLAY_DUTY + "f")


class OwnClock:
    """The world's clock as a process sees it that can be made to stand still."""

    def __init__(self, world: ManualClock) -> None:
        self._world = world
        self.running = asyncio.Event()
        self.running.set()

    def now(self) -> datetime:
        return self._world.now()

    def wall_clock_offset(self) -> timedelta:
        return self._world.wall_clock_offset()

    def continue_from(self, time: datetime) -> bool:
        return self._world.continue_from(time)

    def monotonic(self) -> float:
        return self._world.monotonic()

    async def sleep(self, seconds: float) -> None:
        await self._world.sleep(seconds)
        await self.running.wait()


class Way(MemoryLedger):
    """The way of one worker to the ledger that all share: questions and answers may be late."""

    def __init__(self, shared: MemoryLedger, world: ManualClock, clock: OwnClock) -> None:
        vars(self).update(vars(shared))  # it is kept once
        self._world = world
        self._clock = clock
        self.away = False
        self.late: dict[str, tuple[float, float]] = {}
        self.asked: Callable[[], None] = lambda: None

    async def lanes(self) -> Sequence[Lane]:
        return await self._ask("lanes", super().lanes)

    async def lease(
        self, leases: Sequence[LeaseRequest], changes: Sequence[ValueChange] = ()
    ) -> Sequence[int | None]:
        ask = super().lease
        return await self._ask("lease", lambda: ask(leases, changes))

    async def put_value(self, name: str, value: bytes) -> None:
        ask = super().put_value
        await self._ask("put", lambda: ask(name, value))

    async def get_values(self, prefix: str) -> Mapping[str, bytes]:
        ask = super().get_values
        return await self._ask("get", lambda: ask(prefix))

    async def change_values(
        self, changes: Sequence[ValueChange], audit: Sequence[AuditRecord] = ()
    ) -> bool:
        ask = super().change_values
        return await self._ask("change", lambda: ask(changes, audit))

    def come_back(self) -> None:
        self.away = False

    async def _ask(self, what: str, ask: Callable[[], Awaitable[T]]) -> T:
        there_s, back_s = self.late.get(what, (0.0, 0.0))
        await self._clock.running.wait()
        await self._pass(there_s)
        answer = await ask()
        self.asked()
        await self._pass(back_s)
        await self._clock.running.wait()
        return answer

    async def _pass(self, seconds: float) -> None:
        if seconds:
            await self._world.sleep(seconds)
        if self.away:
            raise StoreError("no way there")


class Worker:
    """A shift with a real team for its flow, and the two loops that it has in a crew."""

    def __init__(self, name: str, shared: MemoryLedger, log: MemoryLog, world: ManualClock) -> None:
        self.name = name
        self.clock = OwnClock(world)
        self.way = Way(shared, world, self.clock)
        self.shift = Coordinator(self.way, self.clock, worker=name)
        dues, observer = (
            DueRetries(shared, self.clock),
            TelemetryObserver(Metrics(), SettlementLog(self.clock)),
        )
        self._hub = Context(
            create_log_reader(PROGRAM, log), shared, self.clock, log.identity, observer, dues
        )
        self.stopping: asyncio.Task[None] | None = None
        self.died = False

    async def start(self) -> None:
        gate = DestinationGuard(
            OpenedSink(FLOW.sink, await FLOW.sink.open(NoBus())), self.clock, lambda _: None
        )
        pace, slots, lock = (
            RateLimiter(None, self.clock),
            ConcurrencyLimiter(None, self.clock),
            asyncio.Lock(),
        )
        lanes = {
            partition: LaneConsumer(self._hub, FLOW, 0, gate, partition, pace, slots, lock)
            for partition in range(LANES)
        }
        self.team = FlowConsumers(lanes, {}, leased=True)
        self.shift.work({"f": self.team}, lambda _holders, _worker: None)
        self._loops = [
            Loop("heartbeat", self.shift.heartbeat.run_once, longest_pause_s=POLL_INTERVAL_S),
            Loop("coordinator", self.shift.run_once, longest_pause_s=POLL_INTERVAL_S),
        ]
        for loop in self._loops:
            loop.start()

    async def _stop(self) -> None:
        await self.shift.release_all(1.0)
        for loop in self._loops:
            loop.stop()
        await self.team.stop(1.0)
        await asyncio.gather(*(loop.join(1.0) for loop in self._loops))
        await self.shift.deregister()

    async def begin_to_stop(self) -> None:
        self.stopping = self.stopping or asyncio.create_task(self._stop())

    def go_on(self) -> None:
        if not self.died:
            self.clock.running.set()

    @property
    def runs(self) -> bool:
        return self.clock.running.is_set()

    @property
    def lanes(self) -> set[str]:
        """The lanes of which it is sure now."""
        return {f"lane {partition}" for partition, one in self.team.leases.items() if one.is_held}

    @property
    def duties(self) -> set[str]:
        """The duties of which it is sure now."""
        return {name for name in ALL_DUTIES if self.shift.duties.holds(name)}


which = st.integers(0, MOST_WORKERS - 1)
durations = st.sampled_from([1.0, 2.6, 3.0, 3.3, 3.6, 4.0, 5.0, 8.0])
delays = st.sampled_from([0.0, 0.1, 0.4, 1.0, 2.0, 4.0])
questions = st.sampled_from(["lanes", "lease", "put", "get", "change"])


class ShiftMachine(RuleBasedStateMachine):
    """An installation in which time passes only when a rule says so."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = HandLoop()
        self.world = self.loop.hand
        self.runner = asyncio.Runner(loop_factory=lambda: self.loop)
        self.ledger, self.log = MemoryLedger(), MemoryLog(LANES)
        self.workers: list[Worker] = []
        self.twice: set[str] = set()
        self.runner.run(self._open())
        for _ in range(2):
            self.join()

    async def _open(self) -> None:
        for partition in range(LANES):
            await self.ledger.open_lane("f", partition, 0)

    @precondition(lambda self: len(self.living) < MOST_WORKERS)
    @rule()
    def join(self) -> None:
        self.workers.append(self.runner.run(self._joined(f"w{len(self.workers)}")))

    async def _joined(self, name: str) -> Worker:
        new = Worker(name, self.ledger, self.log, self.world)
        new.way.asked = self.look
        await new.start()
        return new

    @rule(number=which, seconds=durations, late_s=delays)
    def stall(self, number: int, seconds: float, late_s: float) -> None:
        """One stands still for a while, and what the others take arrives late."""
        if one := self._one(number):
            one.clock.running.clear()
            self.loop.call_later(seconds, one.go_on)
            for other in self.living:
                if other is not one:
                    other.way.late |= {"lease": (late_s, 0.0), "change": (late_s, 0.0)}

    @rule(number=which)
    def die(self, number: int) -> None:
        if one := self._one(number):
            one.clock.running.clear()
            one.died = True

    @rule(number=which, seconds=durations)
    def cut_off(self, number: int, seconds: float) -> None:
        """What one asks, and what it is to be answered, does not arrive for a while."""
        if one := self._one(number):
            one.way.away = True
            self.loop.call_later(seconds, one.way.come_back)

    @rule(number=which, question=questions, there_s=delays, back_s=delays)
    def slow_down(self, number: int, question: str, there_s: float, back_s: float) -> None:
        """What one asks comes late, or the answer does, until all is calm."""
        if one := self._one(number):
            one.way.late[question] = (there_s, back_s)

    @rule(number=which)
    def stop(self, number: int) -> None:
        one = self._one(number)
        if one and one.runs:
            self.runner.run(one.begin_to_stop())

    @rule(steps=st.integers(1, 24))
    def pass_time(self, steps: int) -> None:
        self.runner.run(self._pass(steps * STEP_S))

    async def _pass(self, seconds: float) -> None:
        for _ in range(round(seconds / STEP_S)):
            await self.world.advance(STEP_S)
            self.look()
            assert not self.twice

    @rule()
    def calm(self) -> None:
        """From now on nothing is late or away, and who has not died goes on."""
        for one in self.workers:
            one.way.come_back()
            one.way.late = {}
            one.go_on()
        self.runner.run(self._pass(CALM_S))
        if living := self.living:
            lanes = sorted(lane for one in living for lane in one.lanes)
            assert lanes == [f"lane {partition}" for partition in range(LANES)]
            counts = [len(one.lanes) for one in living]
            assert max(counts) - min(counts) <= 1
            assert sorted(duty for one in living for duty in one.duties) == sorted(ALL_DUTIES)

    def look(self) -> None:
        """Note what is more than one worker's; asked at each step of time and of the ledger."""
        sure = [thing for one in self.workers for thing in (*one.lanes, *one.duties)]
        self.twice |= {thing for thing in sure if sure.count(thing) > 1}

    @property
    def living(self) -> list[Worker]:
        return [one for one in self.workers if one.stopping is None and not one.died]

    def _one(self, number: int) -> Worker | None:
        living = self.living
        return living[number % len(living)] if living else None

    def teardown(self) -> None:
        self.runner.run(self._end())
        self.runner.close()

    async def _end(self) -> None:
        for one in self.workers:
            one.way.come_back()
            one.way.late, one.died = {}, False
            one.go_on()
            await one.begin_to_stop()
        while not all(one.stopping and one.stopping.done() for one in self.workers):
            await self.world.advance(STEP_S)
        for one in self.workers:
            assert one.stopping is not None
            await one.stopping


ShiftMachine.TestCase.settings = settings(max_examples=examples(12), stateful_step_count=25)
TestShift = ShiftMachine.TestCase
