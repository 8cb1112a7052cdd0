"""A settlement whose answer is lost: nothing goes to a destination a second time for that."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from busway import App, Event
from busway.errors import StoreError
from busway.flow import compile_app
from busway.named_value import ValueChange
from busway.outcome import DELIVERED, Down, Outcome
from busway.ports import Load, NewBatch, SinkContext
from busway.runtime.context import Context
from busway.runtime.due_retry import DueRetries
from busway.runtime.observe.observer import TelemetryObserver
from busway.runtime.observe.settlement_log import SettlementLog
from busway.runtime.observe.state_recorder import StateRecorder
from busway.runtime.worker.coordinator import Coordinator
from busway.runtime.worker.flow_runner import FlowRunner, create_log_reader
from busway.settlement import Settlement
from busway.telemetry import Metrics
from busway.testing import ManualClock, MemoryLedger, MemoryLog
from listed_sink import NoBus


def drafts(*ids: str) -> Sequence[NewBatch]:
    events = [Event(type="t", source="/s", id=id, subject="key") for id in ids]
    return [NewBatch(0, [one.to_json() for one in events])]


class Losing(MemoryLedger):
    """Applies one settlement, has more come to the log, and does not answer."""

    def __init__(self, log: MemoryLog, clock: ManualClock, number: int) -> None:
        super().__init__()
        self._log = log
        self._clock = clock
        self._left = number
        self.lost = False

    async def settle(
        self, settlements: Sequence[Settlement], changes: Sequence[ValueChange] = ()
    ) -> Sequence[bool]:
        found = await super().settle(settlements, changes)
        self._left -= 1
        if self._left == 0:
            await self._log.append(drafts("late"), self._clock.now())
            self.lost = True
            raise StoreError("the connection broke")
        return found


class Counted:
    """A destination without positions: knows what came; from the second event on it was down."""

    name = "counted"

    def __init__(self, *, down: bool) -> None:
        self.came: list[str] = []
        self._down = down

    async def open(self, supplies: SinkContext) -> Counted:
        return self

    async def write(self, load: Load) -> Sequence[Outcome]:
        outcomes: list[Outcome] = []
        for number, item in enumerate(load.items):
            if self._down and number:
                outcomes += [Down("away")] * (len(load.items) - number)
                break
            self.came.append(item.event.id)
            outcomes.append(DELIVERED)
        self._down = False
        return outcomes

    async def close(self) -> None:
        """Nothing is open."""


@pytest.mark.parametrize("leased", [False, True])
@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize(("down", "number"), [(False, 1), (True, 1), (True, 2)])
async def test_nothing_goes_twice(down: bool, number: int, ordered: bool, leased: bool) -> None:
    clock, log, sink = ManualClock(), MemoryLog(1), Counted(down=down)
    ledger = Losing(log, clock, number)
    app = App("shop")
    app.flow("f", to=sink, ordered=ordered)
    program, metrics = compile_app(app), Metrics()
    observer, dues = TelemetryObserver(metrics, SettlementLog(clock)), DueRetries(ledger, clock)
    hub = Context(create_log_reader(program, log), ledger, clock, log.identity, observer, dues)
    shift = Coordinator(ledger, clock) if leased else None
    await ledger.open_lane("f", 0, 0)
    await log.append(drafts("a", "b", "c"), clock.now())
    crew = FlowRunner(program, hub, log, StateRecorder(ledger, clock, metrics), shift)
    await crew.start(NoBus())
    while (await ledger.lanes())[0].cursor < 4:
        await clock.advance(0.1)
        await asyncio.sleep(0.01)  # a loop that failed pauses by the real clock
    await crew.stop(10.0)
    (lane,) = await ledger.lanes()
    assert ledger.lost
    assert (lane.cursor, lane.counts.delivered) == (4, 4)
    assert (sink.came if ordered else sorted(sink.came)) == ["a", "b", "c", "late"]
