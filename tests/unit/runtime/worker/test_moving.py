"""How soon lanes move when a worker ends, and that they stay where they are when all is slow."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest

from busway import App
from busway.control.worker import WORKER
from busway.delivery.rebalance import DEAD_AFTER_S
from busway.flow import compile_app
from busway.lane import Lane, LeaseRequest
from busway.named_value import ValueChange
from busway.runtime.context import Context
from busway.runtime.due_retry import DueRetries
from busway.runtime.lease.heartbeat import HEARTBEAT_INTERVAL_S, TRUSTED_S
from busway.runtime.observe.observer import TelemetryObserver
from busway.runtime.observe.settlement_log import SettlementLog
from busway.runtime.observe.state_recorder import StateRecorder
from busway.runtime.worker.coordinator import Coordinator
from busway.runtime.worker.flow_runner import FlowRunner, create_log_reader
from busway.sinks import console
from busway.telemetry import Metrics
from busway.testing import ManualClock, MemoryLedger, MemoryLog
from hand_loop import by_hand

LANES = 8
STEP_S = 0.1
DEAD_S = 5.0
STOPPED_S = 1.0
"""What is promised: how soon others have the lanes of a worker that died, or that has stopped."""


class SlowLeases(MemoryLedger):
    """Takes its time to lease, and knows when each worker has beaten."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self.clock = clock
        self.lease_s = 0.0
        self.beats: dict[str, list[float]] = {}

    async def lease(
        self, leases: Sequence[LeaseRequest], changes: Sequence[ValueChange] = ()
    ) -> Sequence[int | None]:
        if self.lease_s:
            await self.clock.sleep(self.lease_s)
        return await super().lease(leases, changes)

    async def put_value(self, name: str, value: bytes) -> None:
        if name.startswith(WORKER):
            self.beats.setdefault(name, []).append(self.clock.monotonic())
        await super().put_value(name, value)


class Worker:
    """A crew with a clock of its own: where that stands still, so does the worker."""

    def __init__(self, ledger: MemoryLedger, log: MemoryLog, clock: ManualClock) -> None:
        app = App("shop")
        app.flow("f", to=console())
        program = compile_app(app)
        metrics = Metrics()
        self.clock = clock
        self.moves: Counter[str] = Counter()
        self.shift = Coordinator(ledger, clock, self)
        follow, dues = create_log_reader(program, log), DueRetries(ledger, clock)
        hub = Context(
            follow,
            ledger,
            clock,
            log.identity,
            TelemetryObserver(metrics, SettlementLog(clock)),
            dues,
        )
        self.crew = FlowRunner(program, hub, log, StateRecorder(ledger, clock, metrics), self.shift)

    def moved(self, flow: str, move: str) -> None:
        assert flow == "f"
        self.moves[move] += 1

    async def publish(self, events: Sequence[object]) -> None:
        raise AssertionError("nothing is published here")

    @property
    def lanes(self) -> int:
        return self.crew.held_lanes["f"]


@asynccontextmanager
async def working(*workers: Worker) -> AsyncIterator[None]:
    for one in workers:
        await one.crew.start(one)
    try:
        yield
    finally:
        stopping = [asyncio.create_task(one.crew.stop(1.0)) for one in workers]
        while not all(one.done() for one in stopping):
            await pass_time(STEP_S, *workers)
        await asyncio.gather(*stopping)


async def pass_time(seconds: float, *workers: Worker) -> None:
    clocks = {id(one.clock): one.clock for one in workers}.values()
    for _ in range(round(seconds / STEP_S)):
        for clock in clocks:
            await clock.advance(STEP_S)


@pytest.mark.parametrize("lived_s", [4.0, 4.1, 4.2, 4.3, 4.4])
async def test_lanes_of_one_that_died_are_taken_in_time(lived_s: float) -> None:
    ledger, log = MemoryLedger(), MemoryLog(LANES)
    dying, left = (Worker(ledger, log, ManualClock()) for _ in range(2))
    async with working(dying, left):
        await pass_time(lived_s, dying, left)
        assert (dying.lanes, left.lanes) == (LANES / 2, LANES / 2)
        await pass_time(TRUSTED_S, left)
        assert left.lanes == LANES / 2, "it may still be sure of them"
        await pass_time(DEAD_S - TRUSTED_S, left)
        assert left.lanes == LANES


@pytest.mark.parametrize("lived_s", [4.0, 4.1, 4.2, 4.3, 4.4])
async def test_lanes_of_one_that_stops_in_order_are_taken_in_time(lived_s: float) -> None:
    ledger, log = MemoryLedger(), MemoryLog(LANES)
    stopping, left = (Worker(ledger, log, ManualClock()) for _ in range(2))
    async with working(left):
        async with working(stopping):
            await pass_time(lived_s, stopping, left)
            assert (stopping.lanes, left.lanes) == (LANES / 2, LANES / 2)
        began = left.clock.monotonic()
        while left.lanes < LANES:
            assert left.clock.monotonic() - began < STOPPED_S
            await pass_time(STEP_S, left)


async def test_no_lane_is_taken_from_one_that_comes_back_just_then() -> None:
    theirs, log = ManualClock(), MemoryLog(LANES)
    ledger = SlowLeases(theirs)
    stalled, left = Worker(ledger, log, ManualClock()), Worker(ledger, log, theirs)
    async with working(stalled, left):
        await pass_time(4.0, stalled, left)
        ledger.lease_s = 2 * DEAD_AFTER_S
        await pass_time(DEAD_AFTER_S + 2 * STEP_S + 0.5, left)  # it has asked for its lanes by now
        await pass_time(1.0, stalled)
        assert stalled.shift.is_trusted()
        for _ in range(round(3 * DEAD_AFTER_S / STEP_S)):
            await pass_time(STEP_S, stalled, left)
            assert stalled.lanes + left.lanes <= LANES
        assert (stalled.lanes, left.lanes) == (LANES / 2, LANES / 2)
        assert stalled.moves == {"acquired": LANES, "released": LANES / 2}, "nothing moves for that"


async def test_leases_that_take_long_make_no_beat_late_and_move_no_lane() -> None:
    clock, log = ManualClock(), MemoryLog(LANES)
    ledger = SlowLeases(clock)
    *settled, new = workers = [Worker(ledger, log, clock) for _ in range(3)]
    async with working(*settled):
        await pass_time(4.0, *settled)
        assert [one.lanes for one in settled] == [LANES / 2, LANES / 2]
        moves = sum((one.moves for one in settled), Counter())
        ledger.lease_s = 5.0
        async with working(new):
            await pass_time(60.0, *workers)
            assert sorted(one.lanes for one in workers) == [2, 3, 3]
            moves = sum((one.moves for one in workers), Counter()) - moves
            assert moves == {"released": 2, "acquired": 2}, "no more than the new one needs"
            for times in ledger.beats.values():
                assert max(after - at for at, after in pairwise(times)) <= 2 * HEARTBEAT_INTERVAL_S
                assert clock.monotonic() - times[-1] <= 2 * HEARTBEAT_INTERVAL_S
            ledger.lease_s = 0.0


class LateLanes(SlowLeases):
    """Says late which lanes there are: what it said of the workers is old by then."""

    lanes_s = 0.0

    async def lanes(self) -> Sequence[Lane]:
        if self.lanes_s:
            await self.clock.sleep(self.lanes_s)
        return await super().lanes()


def test_a_beat_that_came_while_it_was_looked_is_not_missed() -> None:
    async def play(clock: ManualClock) -> None:
        ledger = LateLanes(clock)
        late, looking = Coordinator(ledger, clock), Coordinator(ledger, clock)
        await late.rebalance()
        await looking.rebalance()
        assert late.duties.holds("maintenance")
        await clock.advance(DEAD_AFTER_S / 3)
        await looking.heartbeat.send()
        await clock.advance(DEAD_AFTER_S / 3)
        await looking.heartbeat.send()
        ledger.lanes_s = DEAD_AFTER_S / 2
        look = asyncio.create_task(looking.rebalance())
        await clock.advance(TRUSTED_S - 2 * DEAD_AFTER_S / 3 - 0.1)
        await late.heartbeat.send()
        assert late.is_trusted()
        await clock.advance(DEAD_AFTER_S / 2)
        await look
        assert late.duties.holds("maintenance")
        assert not looking.duties.holds("maintenance")

    by_hand(play)
