"""A retry that is cut off has begun nothing, wherever it was."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest

from busway import App
from busway.audit_record import AuditRecord
from busway.failed_event import FailedEvent, FailedEventQuery, Resolution
from busway.flow import compile_app
from busway.lane import Counts
from busway.named_value import ValueChange
from busway.runtime.context import Context
from busway.runtime.due_retry import DueRetries
from busway.runtime.observe.observer import TelemetryObserver
from busway.runtime.observe.settlement_log import SettlementLog
from busway.runtime.observe.state_recorder import StateRecorder
from busway.runtime.worker.flow_runner import FlowRunner, create_log_reader
from busway.settlement import Settlement
from busway.sinks import console
from busway.telemetry import Metrics
from busway.testing import ManualClock, MemoryLedger, MemoryLog
from listed_sink import NoBus

EVENT = b'{"specversion":"1.0","id":"1","source":"/s","type":"t"}'


class Stuck(MemoryLedger):
    """A ledger whose answer to the first verdicts never comes; it has ``heard`` them, or not."""

    def __init__(self, *, heard: bool) -> None:
        super().__init__()
        self.asked = asyncio.Event()
        self.heard = heard

    async def resolve(
        self,
        resolutions: Sequence[Resolution],
        audit: Sequence[AuditRecord] = (),
        changes: Sequence[ValueChange] = (),
    ) -> Sequence[bool]:
        if self.asked.is_set():
            return await super().resolve(resolutions, audit, changes)
        if self.heard:
            await super().resolve(resolutions, audit, changes)
        self.asked.set()
        return await asyncio.Future()


@pytest.mark.parametrize("heard", [False, True])
async def test_what_it_was_about_to_begin_counts_as_no_attempt(heard: bool) -> None:
    ledger, log, clock = Stuck(heard=heard), MemoryLog(1), ManualClock()
    app = App("shop")
    app.flow("f", to=console())
    program, metrics, now = compile_app(app), Metrics(), clock.now()
    await ledger.open_lane("f", 0, 0)
    parked = FailedEvent("f", 0, 0, EVENT, "1", "parked", now, 1, due=now - timedelta(seconds=1))
    assert await ledger.settle([Settlement("f", 0, 0, 1, now, "v", Counts(parked=1), (parked,))])
    observer, dues = TelemetryObserver(metrics, SettlementLog(clock)), DueRetries(ledger, clock)
    hub = Context(create_log_reader(program, log), ledger, clock, log.identity, observer, dues)
    crew = FlowRunner(program, hub, log, StateRecorder(ledger, clock, metrics))
    await crew.start(NoBus())
    await ledger.asked.wait()
    assert not await crew.stop(0.01), "it is cut off"
    (kept,) = await ledger.failed_events(FailedEventQuery(flow="f"))
    assert (kept.attempts, kept.attempt_started_at) == (1, None)
