"""Lanes that were leased and not begun: given back, or begun later as they would have been."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from busway import App, Event
from busway.control.record import HAND
from busway.control.worker import DUTY
from busway.errors import StoreError
from busway.flow import compile_app
from busway.lane import Lane, Lease
from busway.ports import Draft, Log
from busway.runtime.crew.crew import Crew, follow_for
from busway.runtime.crew.shift import Shift
from busway.runtime.due import Dues
from busway.runtime.hub import Hub
from busway.runtime.observe.observer import Observer
from busway.runtime.observe.record import Recorder
from busway.sinks import console
from busway.telemetry import Metrics
from busway.testing import HandClock, MemoryLedger, MemoryLog
from listed_sink import NoBus

LANES = 2


class LateAnswers(MemoryLedger):
    """Leases at once, and says so late."""

    def __init__(self) -> None:
        super().__init__()
        self.leased = asyncio.Event()
        self.answering = asyncio.Event()

    async def lease(self, leases: Sequence[Lease]) -> Sequence[int | None]:
        found = await super().lease(leases)
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

    async def lease(self, leases: Sequence[Lease]) -> Sequence[int | None]:
        self.leased = True
        return await super().lease(leases)

    async def lanes(self) -> Sequence[Lane]:
        if self.leased and self.answers:
            raise self.answers.pop()
        return await super().lanes()

    async def put(self, name: str, value: bytes) -> None:
        if name.startswith(HAND):
            self.marks.append(name)
        await super().put(name, value)


def crew_of(ledger: MemoryLedger, log: Log, clock: HandClock) -> Crew:
    app = App("shop")
    app.flow("f", to=console())
    program, metrics = compile_app(app), Metrics()
    observer, dues = Observer(metrics), Dues(ledger, clock)
    hub = Hub(follow_for(program, log), ledger, clock, log.identity, observer, dues)
    return Crew(program, hub, log, Recorder(ledger, clock, metrics), Shift(ledger, clock))


@pytest.mark.parametrize("died", [False, True])
async def test_what_is_leased_while_it_leaves_is_not_begun(died: bool) -> None:
    ledger, log = LateAnswers(), MemoryLog(LANES)
    crew, worker = crew_of(ledger, log, HandClock()), "dead" if died else None
    for partition in range(LANES):
        await ledger.open_lane("f", partition, 0)
        await MemoryLedger.lease(ledger, [Lease("f", partition, 0, worker)])
    await crew.start(NoBus())
    await ledger.leased.wait()
    stopping = asyncio.create_task(crew.stop(10.0))
    for _ in range(100):  # it comes as far as it can without the answer
        await asyncio.sleep(0)
    ledger.answering.set()
    await stopping
    assert crew.held == {"f": 0}
    given_back = [lane.worker is None for lane in await ledger.lanes()]
    assert given_back == [not died] * LANES, "what has to be taken with care is not given back"
    assert not await ledger.get(DUTY)


async def test_a_lane_of_one_that_died_is_taken_with_care_also_where_that_fails_at_first() -> None:
    ledger, log, clock = Hiccup(), MemoryLog(1), HandClock()
    crew = crew_of(ledger, log, clock)
    await ledger.open_lane("f", 0, 0)
    await MemoryLedger.lease(ledger, [Lease("f", 0, 0, "dead")])
    await log.append([Draft(0, [Event(type="t", source="/s").to_json()])], clock.now())
    await crew.start(NoBus())
    while not crew.held["f"]:
        await clock.turn(0.1)
    (lane,) = await ledger.lanes()
    while lane.cursor == 0:
        await clock.turn(0.1)
        (lane,) = await ledger.lanes()
    assert ledger.answers == []
    assert ledger.marks == [f"{HAND}f/0"]
    await crew.stop(10.0)
