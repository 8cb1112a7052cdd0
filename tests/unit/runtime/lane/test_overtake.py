"""Order by key while a settlement fails: what was kept back is not overtaken by what came since."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from busway import App, Event
from busway.errors import StoreError
from busway.failed_event import FailedEvent, Resolution
from busway.flow import compile_app
from busway.lane import Counts
from busway.named_value import ValueChange
from busway.ports import NewBatch
from busway.runtime.context import Context
from busway.runtime.due_retry import DueRetries
from busway.runtime.observe.observer import TelemetryObserver
from busway.runtime.observe.settlement_log import SettlementLog
from busway.runtime.observe.state_recorder import StateRecorder
from busway.runtime.worker.flow_runner import FlowRunner, create_log_reader
from busway.settlement import Settlement
from busway.telemetry import Metrics
from busway.testing import ManualClock, MemoryLedger, MemoryLog
from listed_sink import Listed, NoBus


def event(id: str) -> Event:
    return Event(type="t", source="/s", id=id, subject="key")


def draft(*ids: str) -> NewBatch:
    return NewBatch(0, [event(id).to_json() for id in ids])


class Away(MemoryLedger):
    """Does not settle the second time; meanwhile what is parked is retried, and more comes."""

    def __init__(self, log: MemoryLog, clock: ManualClock) -> None:
        super().__init__()
        self._log = log
        self._clock = clock
        self._asked = 0

    async def settle(
        self, settlements: Sequence[Settlement], changes: Sequence[ValueChange] = ()
    ) -> Sequence[bool]:
        self._asked += 1
        if self._asked != 2:
            return await super().settle(settlements, changes)
        now = self._clock.now()
        await self.resolve([Resolution("f", 0, 0, 1, "parked", "delivered", now, "v")])
        await self._log.append([draft("late")], now)
        raise StoreError("the database is away")


async def test_what_was_kept_back_goes_before_what_came_while_the_ledger_was_away() -> None:
    clock, log, sink = ManualClock(), MemoryLog(1), Listed()
    ledger, app, metrics = Away(log, clock), App("shop"), Metrics()
    app.flow("f", to=sink, ordered=True)
    program = compile_app(app)
    await log.append([draft("parked", "kept back")], clock.now())
    await ledger.open_lane("f", 0, 0)
    raw, now = event("parked").to_json(), clock.now()
    parked = FailedEvent(
        "f", 0, 0, raw, "parked", "parked", now, 1, due=now + timedelta(minutes=1), key="key"
    )
    await ledger.settle([Settlement("f", 0, 0, 1, now, "v", Counts(parked=1), (parked,))])
    observer, dues = TelemetryObserver(metrics, SettlementLog(clock)), DueRetries(ledger, clock)
    hub = Context(create_log_reader(program, log), ledger, clock, log.identity, observer, dues)
    crew = FlowRunner(program, hub, log, StateRecorder(ledger, clock, metrics))
    await crew.start(NoBus())
    while (await ledger.lanes())[0].counts.delivered < 3:
        await clock.advance(0.1)
        await asyncio.sleep(0.01)  # a loop that failed pauses by the real clock
    await crew.stop(10.0)
    assert sink.came == ["kept back", "late"]
