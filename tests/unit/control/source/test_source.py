"""Sources as operators see them: what came, what was refused and why, pause and resume."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from busway.control.context import ControlContext
from busway.control.source.operation import pause_source, resume_source
from busway.control.source.record import (
    LastRefusal,
    SourceCounts,
    SourceRecord,
    add_counts,
    keep_records,
    source_counts,
)
from busway.control.source.status import SourceStatus, source_statuses
from busway.errors import NotFound, SettingsError
from busway.testing import ManualClock, MemoryLedger, MemoryLog

ORDERS = SourceRecord("request", "webhook", "/in/orders")
TICKS = SourceRecord("reader", "schedule")
EARLY, LATE = (datetime(2020, 1, 1, hour, tzinfo=UTC) for hour in (8, 9))


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def control(clock: ManualClock) -> ControlContext:
    made = ControlContext(log=MemoryLog(1), ledger=MemoryLedger(), clock=clock)
    await keep_records(made.ledger, {"orders": ORDERS, "ticks": TICKS})
    return made


async def statuses(control: ControlContext) -> dict[str, SourceStatus]:
    found = await source_statuses(control.ledger, control.clock.now())
    return {status.name: status for status in found}


async def test_a_source_that_no_program_has_any_more_is_undeclared(control: ControlContext) -> None:
    await keep_records(control.ledger, {"ticks": TICKS})
    states = {name: status.state for name, status in (await statuses(control)).items()}
    assert states == {"orders": "undeclared", "ticks": "running"}


async def test_a_paused_source_says_who_paused_it_why_and_until_when(
    control: ControlContext, clock: ManualClock
) -> None:
    until = clock.now() + timedelta(hours=1)
    await pause_source(control, "orders", "ann", "migration", until)
    status = (await statuses(control))["orders"]
    assert (status.state, status.paused_by, status.state_reason, status.until) == (
        *("paused", "ann", "migration"),
        until,
    )
    await clock.advance(3601)
    assert (await statuses(control))["orders"].state == "running"


async def test_a_resumed_source_runs(control: ControlContext) -> None:
    await pause_source(control, "orders", "ann")
    await resume_source(control, "orders", "bob", "done")
    await resume_source(control, "orders", "bob", "again")
    assert (await statuses(control))["orders"].state == "running"
    trail = [
        (audit.actor, audit.action, audit.target) for audit in await control.ledger.audit_records()
    ]
    assert trail == [("bob", "resume", "source/orders"), ("ann", "pause", "source/orders")]


async def test_pausing_an_unknown_source_names_the_likely_one(control: ControlContext) -> None:
    with pytest.raises(NotFound, match="'order'; did you mean 'orders'"):
        await pause_source(control, "order", "ann")


async def test_a_pause_does_not_end_in_the_past(
    control: ControlContext, clock: ManualClock
) -> None:
    with pytest.raises(SettingsError, match="has passed"):
        await pause_source(control, "orders", "ann", until=clock.now())


async def test_counts_add_up_and_keep_the_last_refusal(control: ControlContext) -> None:
    first, second = LastRefusal(EARLY, "no-id", "early"), LastRefusal(LATE, "malformed", "late")
    for counts in (
        SourceCounts(accepted=2, refused={"malformed": 1}, received_at=LATE, last_refusal=second),
        SourceCounts(duplicates=1, refused={"no-id": 3}, received_at=EARLY, last_refusal=first),
    ):
        assert await add_counts(control.ledger, {"orders": counts})
    assert (await source_counts(control.ledger))["orders"] == SourceCounts(
        accepted=2,
        duplicates=1,
        refused={"malformed": 1, "no-id": 3},
        received_at=LATE,
        last_refusal=second,
    )
    status = (await statuses(control))["orders"]
    assert (status.accepted, status.duplicates, status.last_refusal) == (2, 1, second)
