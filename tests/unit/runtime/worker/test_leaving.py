"""Lanes that were leased and not begun: given back, or begun later as they would have been."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Sequence

import pytest

from busway import App, Event
from busway.control.record import IN_FLIGHT
from busway.control.worker import DUTY
from busway.errors import StoreError
from busway.flow import compile_app
from busway.lane import Lane, LeaseRequest
from busway.named_value import ValueChange
from busway.outcome import DELIVERED, Outcome
from busway.ports import Load, Log, NewBatch, Sink, SinkContext
from busway.runtime.context import Context
from busway.runtime.due_retry import DueRetries
from busway.runtime.observe.observer import TelemetryObserver
from busway.runtime.observe.settlement_log import SettlementLog
from busway.runtime.observe.state_recorder import StateRecorder
from busway.runtime.worker.coordinator import Coordinator
from busway.runtime.worker.flow_runner import FlowRunner, create_log_reader
from busway.sinks import console
from busway.telemetry import Metrics
from busway.testing import ManualClock, MemoryLedger, MemoryLog
from listed_sink import NoBus

LANES = 2
WITHIN_S = 60.0
"""How long a crew may take to stop where nothing is to be cut off."""


class LateAnswers(MemoryLedger):
    """Leases at once, and says so late."""

    def __init__(self) -> None:
        super().__init__()
        self.leased = asyncio.Event()
        self.answering = asyncio.Event()

    async def lease(
        self, leases: Sequence[LeaseRequest], changes: Sequence[ValueChange] = ()
    ) -> Sequence[int | None]:
        found = await super().lease(leases, changes)
        self.leased.set()
        await self.answering.wait()
        return found


class Hiccup(MemoryLedger):
    """Does not answer the question after the first leases; knows which marks were put."""

    def __init__(self) -> None:
        super().__init__()
        self.answers = [StoreError("not now")]
        self.leased = False
        self.marks: list[str] = []

    async def lease(
        self, leases: Sequence[LeaseRequest], changes: Sequence[ValueChange] = ()
    ) -> Sequence[int | None]:
        self.leased = True
        return await super().lease(leases, changes)

    async def lanes(self) -> Sequence[Lane]:
        if self.leased and self.answers:
            raise self.answers.pop()
        return await super().lanes()

    async def put_value(self, name: str, value: bytes) -> None:
        if name.startswith(IN_FLIGHT):
            self.marks.append(name)
        await super().put_value(name, value)


class Moves:
    """What became of lanes, in order."""

    def __init__(self) -> None:
        self.all: list[str] = []

    def moved(self, flow: str, move: str) -> None:
        assert flow == "f"
        self.all.append(move)


def crew_of(
    ledger: MemoryLedger,
    log: Log,
    clock: ManualClock,
    sink: Sink | None = None,
    moves: Moves | None = None,
) -> FlowRunner:
    app = App("shop")
    app.flow("f", to=sink or console())
    program, metrics = compile_app(app), Metrics()
    observer, dues = TelemetryObserver(metrics, SettlementLog(clock)), DueRetries(ledger, clock)
    hub = Context(create_log_reader(program, log), ledger, clock, log.identity, observer, dues)
    return FlowRunner(
        program, hub, log, StateRecorder(ledger, clock, metrics), Coordinator(ledger, clock, moves)
    )


@pytest.mark.parametrize("died", [False, True])
async def test_what_is_leased_while_it_leaves_is_not_begun(died: bool) -> None:
    ledger, log = LateAnswers(), MemoryLog(LANES)
    crew, worker = crew_of(ledger, log, ManualClock()), "dead" if died else None
    for partition in range(LANES):
        await ledger.open_lane("f", partition, 0)
        await MemoryLedger.lease(ledger, [LeaseRequest("f", partition, 0, worker)])
    await crew.start(NoBus())
    await ledger.leased.wait()
    stopping = asyncio.create_task(crew.stop(WITHIN_S))
    for _ in range(100):  # it comes as far as it can without the answer
        await asyncio.sleep(0)
    ledger.answering.set()
    await stopping
    assert crew.held_lanes == {"f": 0}
    given_back = [lane.worker is None for lane in await ledger.lanes()]
    assert given_back == [not died] * LANES, "what has to be taken with care is not given back"
    assert not await ledger.get_values(DUTY)


class NotNow(MemoryLedger):
    """Refuses once to have a lane be given up."""

    refused = 0

    async def lease(
        self, leases: Sequence[LeaseRequest], changes: Sequence[ValueChange] = ()
    ) -> Sequence[int | None]:
        if not self.refused and any(one.worker is None for one in leases):
            self.refused += 1
            raise StoreError("not now")
        return await super().lease(leases, changes)


async def test_a_lane_that_could_not_be_given_up_is_given_up_later() -> None:
    ledger, log, clock = NotNow(), MemoryLog(LANES), ManualClock()
    first, second = (crew_of(ledger, log, clock) for _ in range(2))
    unhandled: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unhandled.append(context))
    await first.start(NoBus())
    while first.held_lanes["f"] < LANES:
        await clock.advance(0.1)
    await second.start(NoBus())
    while not second.held_lanes["f"]:
        await clock.advance(0.1)
    gc.collect()
    assert (ledger.refused, unhandled) == (1, [])
    await asyncio.gather(first.stop(1.0), second.stop(1.0))


class Held:
    """A sink whose loads last until they are let go."""

    name = "held"

    def __init__(self) -> None:
        self.begun, self.let_go = asyncio.Event(), asyncio.Event()

    async def open(self, supplies: SinkContext) -> Held:
        return self

    async def write(self, load: Load) -> Sequence[Outcome]:
        self.begun.set()
        await self.let_go.wait()
        return [DELIVERED] * len(load.items)

    async def close(self) -> None:
        """Nothing is open."""


async def test_what_is_taken_from_one_while_it_gives_it_up_is_not_its_own() -> None:
    ledger, log, clock, sink = MemoryLedger(), MemoryLog(1), ManualClock(), Held()
    moves = Moves()
    crew = crew_of(ledger, log, clock, sink, moves)
    await ledger.open_lane("f", 0, 0)
    await log.append([NewBatch(0, [Event(type="t", source="/s").to_json()])], clock.now())
    await crew.start(NoBus())
    while not sink.begun.is_set():
        await clock.advance(0.1)
    stopping = asyncio.create_task(crew.stop(WITHIN_S))
    await clock.advance(0.0)
    (lane,) = await ledger.lanes()
    await ledger.lease([LeaseRequest("f", 0, lane.fencing_token, "other")])
    await clock.advance(1.0)
    assert moves.all == ["acquired", "lost"]
    sink.let_go.set()
    assert await stopping
    assert moves.all == ["acquired", "lost"]


async def test_a_lane_that_has_noticed_itself_that_it_was_taken_away_ends() -> None:
    ledger, log, clock, moves = MemoryLedger(), MemoryLog(1), ManualClock(), Moves()
    crew = crew_of(ledger, log, clock, moves=moves)
    await ledger.open_lane("f", 0, 0)
    await crew.start(NoBus())
    while not crew.held_lanes["f"]:
        await clock.advance(0.1)
    (lane,) = await ledger.lanes()
    await ledger.lease([LeaseRequest("f", 0, lane.fencing_token, "dead")])
    await log.append([NewBatch(0, [Event(type="t", source="/s").to_json()])], clock.now())
    for _ in range(100):  # it settles under its old lease, between two looks
        await asyncio.sleep(0)
    assert moves.all == ["acquired"]
    while moves.all.count("acquired") < 2:
        await clock.advance(0.1)
    assert moves.all == ["acquired", "lost", "acquired"]
    await crew.stop(WITHIN_S)


async def test_a_lane_of_one_that_died_is_taken_with_care_also_where_that_fails_at_first() -> None:
    ledger, log, clock = Hiccup(), MemoryLog(1), ManualClock()
    crew = crew_of(ledger, log, clock)
    await ledger.open_lane("f", 0, 0)
    await MemoryLedger.lease(ledger, [LeaseRequest("f", 0, 0, "dead")])
    await log.append([NewBatch(0, [Event(type="t", source="/s").to_json()])], clock.now())
    await crew.start(NoBus())
    while not crew.held_lanes["f"]:
        await clock.advance(0.1)
    (lane,) = await ledger.lanes()
    while lane.cursor == 0:
        await clock.advance(0.1)
        (lane,) = await ledger.lanes()
    assert ledger.answers == []
    assert ledger.marks == [f"{IN_FLIGHT}f/0"]
    await crew.stop(WITHIN_S)
