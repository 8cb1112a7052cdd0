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
from busway.delivery.share import DEAD_AFTER_S
from busway.flow import compile_app
from busway.lane import Change, Lane, Lease
from busway.runtime.crew.crew import Crew, follow_for
from busway.runtime.crew.shift import Shift
from busway.runtime.due import Dues
from busway.runtime.hub import Hub
from busway.runtime.lease.beat import BEAT_EVERY_S, SURE_S
from busway.runtime.observe.observer import Observer
from busway.runtime.observe.record import Recorder
from busway.sinks import console
from busway.telemetry import Metrics
from busway.testing import HandClock, MemoryLedger, MemoryLog
from hand_loop import by_hand

LANES = 8
STEP_S = 0.1
DEAD_S = 5.0
STOPPED_S = 1.0
"""What is promised: how soon others have the lanes of a worker that died, or that has stopped."""


class SlowLeases(MemoryLedger):
    """Takes its time to lease, and knows when each worker has beaten."""

    def __init__(self, clock: HandClock) -> None:
        super().__init__()
        self.clock = clock
        self.lease_s = 0.0
        self.beats: dict[str, list[float]] = {}

    async def lease(
        self, leases: Sequence[Lease], changes: Sequence[Change] = ()
    ) -> Sequence[int | None]:
        if self.lease_s:
            await self.clock.sleep(self.lease_s)
        return await super().lease(leases, changes)

    async def put(self, name: str, value: bytes) -> None:
        if name.startswith(WORKER):
            self.beats.setdefault(name, []).append(self.clock.monotonic())
        await super().put(name, value)


class Worker:
    """A crew with a clock of its own: where that stands still, so does the worker."""

    def __init__(self, ledger: MemoryLedger, log: MemoryLog, clock: HandClock) -> None:
        app = App("shop")
        app.flow("f", to=console())
        program = compile_app(app)
        metrics = Metrics()
        self.clock = clock
        self.moves: Counter[str] = Counter()
        self.shift = Shift(ledger, clock, self)
        follow, dues = follow_for(program, log), Dues(ledger, clock)
        hub = Hub(follow, ledger, clock, log.identity, Observer(metrics), dues)
        self.crew = Crew(program, hub, log, Recorder(ledger, clock, metrics), self.shift)

    def moved(self, flow: str, move: str) -> None:
        assert flow == "f"
        self.moves[move] += 1

    async def publish(self, events: Sequence[object]) -> None:
        raise AssertionError("nothing is published here")

    @property
    def lanes(self) -> int:
        return self.crew.held["f"]


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
            await clock.turn(STEP_S)


@pytest.mark.parametrize("lived_s", [4.0, 4.1, 4.2, 4.3, 4.4])
async def test_lanes_of_one_that_died_are_taken_in_time(lived_s: float) -> None:
    ledger, log = MemoryLedger(), MemoryLog(LANES)
    dying, left = (Worker(ledger, log, HandClock()) for _ in range(2))
    async with working(dying, left):
        await pass_time(lived_s, dying, left)
        assert (dying.lanes, left.lanes) == (LANES / 2, LANES / 2)
        await pass_time(SURE_S, left)
        assert left.lanes == LANES / 2, "it may still be sure of them"
        await pass_time(DEAD_S - SURE_S, left)
        assert left.lanes == LANES


@pytest.mark.parametrize("lived_s", [4.0, 4.1, 4.2, 4.3, 4.4])
async def test_lanes_of_one_that_stops_in_order_are_taken_in_time(lived_s: float) -> None:
    ledger, log = MemoryLedger(), MemoryLog(LANES)
    stopping, left = (Worker(ledger, log, HandClock()) for _ in range(2))
    async with working(left):
        async with working(stopping):
            await pass_time(lived_s, stopping, left)
            assert (stopping.lanes, left.lanes) == (LANES / 2, LANES / 2)
        began = left.clock.monotonic()
        while left.lanes < LANES:
            assert left.clock.monotonic() - began < STOPPED_S
            await pass_time(STEP_S, left)


async def test_no_lane_is_taken_from_one_that_comes_back_just_then() -> None:
    theirs, log = HandClock(), MemoryLog(LANES)
    ledger = SlowLeases(theirs)
    stalled, left = Worker(ledger, log, HandClock()), Worker(ledger, log, theirs)
    async with working(stalled, left):
        await pass_time(4.0, stalled, left)
        ledger.lease_s = 2 * DEAD_AFTER_S
        await pass_time(DEAD_AFTER_S + 2 * STEP_S + 0.5, left)  # it has asked for its lanes by now
        await pass_time(1.0, stalled)
        assert stalled.shift.sure()
        for _ in range(round(3 * DEAD_AFTER_S / STEP_S)):
            await pass_time(STEP_S, stalled, left)
            assert stalled.lanes + left.lanes <= LANES
        assert (stalled.lanes, left.lanes) == (LANES / 2, LANES / 2)
        assert stalled.moves == {"taken": LANES, "given": LANES / 2}, "nothing moves for that"


async def test_leases_that_take_long_make_no_beat_late_and_move_no_lane() -> None:
    clock, log = HandClock(), MemoryLog(LANES)
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
            assert moves == {"given": 2, "taken": 2}, "no more than the new one needs"
            for times in ledger.beats.values():
                assert max(after - at for at, after in pairwise(times)) <= 2 * BEAT_EVERY_S
                assert clock.monotonic() - times[-1] <= 2 * BEAT_EVERY_S
            ledger.lease_s = 0.0


class LateLanes(SlowLeases):
    """Says late which lanes there are: what it said of the workers is old by then."""

    lanes_s = 0.0

    async def lanes(self) -> Sequence[Lane]:
        if self.lanes_s:
            await self.clock.sleep(self.lanes_s)
        return await super().lanes()


def test_a_beat_that_came_while_it_was_looked_is_not_missed() -> None:
    async def play(clock: HandClock) -> None:
        ledger = LateLanes(clock)
        late, looking = Shift(ledger, clock), Shift(ledger, clock)
        await late.look()
        await looking.look()
        assert late.duties.has("upkeep")
        await clock.turn(DEAD_AFTER_S / 3)
        await looking.beat.tell()
        await clock.turn(DEAD_AFTER_S / 3)
        await looking.beat.tell()
        ledger.lanes_s = DEAD_AFTER_S / 2
        look = asyncio.create_task(looking.look())
        await clock.turn(SURE_S - 2 * DEAD_AFTER_S / 3 - 0.1)
        await late.beat.tell()
        assert late.sure()
        await clock.turn(DEAD_AFTER_S / 2)
        await look
        assert late.duties.has("upkeep")
        assert not looking.duties.has("upkeep")

    by_hand(play)
