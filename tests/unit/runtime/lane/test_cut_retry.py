"""A retry that is cut off has begun nothing, wherever it was."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest

from busway import App
from busway.flow import compile_app
from busway.lane import Audit, Change, Counts, Query, Settlement, Trouble, Verdict
from busway.runtime.crew.crew import Crew, follow_for
from busway.runtime.due import Dues
from busway.runtime.hub import Hub
from busway.runtime.observe.observer import Observer
from busway.runtime.observe.record import Recorder
from busway.sinks import console
from busway.telemetry import Metrics
from busway.testing import HandClock, MemoryLedger, MemoryLog
from listed_sink import NoBus

EVENT = b'{"specversion":"1.0","id":"1","source":"/s","type":"t"}'


class Stuck(MemoryLedger):
    """A ledger whose answer to the first verdicts never comes; it has ``heard`` them, or not."""

    def __init__(self, *, heard: bool) -> None:
        super().__init__()
        self.asked = asyncio.Event()
        self.heard = heard

    async def judge(
        self,
        verdicts: Sequence[Verdict],
        audit: Sequence[Audit] = (),
        changes: Sequence[Change] = (),
    ) -> Sequence[bool]:
        if self.asked.is_set():
            return await super().judge(verdicts, audit, changes)
        if self.heard:
            await super().judge(verdicts, audit, changes)
        self.asked.set()
        return await asyncio.Future()


@pytest.mark.parametrize("heard", [False, True])
async def test_what_it_was_about_to_begin_counts_as_no_attempt(heard: bool) -> None:
    ledger, log, clock = Stuck(heard=heard), MemoryLog(1), HandClock()
    app = App("shop")
    app.flow("f", to=console())
    program, metrics, now = compile_app(app), Metrics(), clock.now()
    await ledger.open_lane("f", 0, 0)
    parked = Trouble("f", 0, 0, EVENT, "1", "parked", now, 1, due=now - timedelta(seconds=1))
    assert await ledger.settle([Settlement("f", 0, 0, 1, now, "v", Counts(parked=1), (parked,))])
    observer, dues = Observer(metrics), Dues(ledger, clock)
    hub = Hub(follow_for(program, log), ledger, clock, log.identity, observer, dues)
    crew = Crew(program, hub, log, Recorder(ledger, clock, metrics))
    await crew.start(NoBus())
    await ledger.asked.wait()
    assert not await crew.stop(0.01), "it is cut off"
    (kept,) = await ledger.troubles(Query(flow="f"))
    assert (kept.attempts, kept.begun_at) == (1, None)
