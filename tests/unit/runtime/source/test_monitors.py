"""What comes from request sources is counted, and kept whoever else counts; pauses take effect."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from busway.audit_record import AuditRecord
from busway.control.context import ControlContext
from busway.control.source.operation import pause_source, resume_source
from busway.control.source.record import (
    SourceCounts,
    SourceRecord,
    keep_records,
    source_counts,
)
from busway.errors import StoreError
from busway.named_value import ValueChange
from busway.ports import AppendReceipt, EventFault, RequestRefusal
from busway.runtime.source.monitor import MAX_CODES
from busway.runtime.source.monitors import SourceMonitors
from busway.telemetry import Metrics
from busway.testing import ManualClock, MemoryLedger, MemoryLog

REFUSAL = RequestRefusal(400, "missing-value", "Missing", "no id", (EventFault(3, "id is gone"),))


class MovingLedger(MemoryLedger):
    """A ledger in which another process changes what is about to be changed, or that is away."""

    changed_by_others = 0
    away = False

    async def change_values(
        self, changes: Sequence[ValueChange], audit: Sequence[AuditRecord] = ()
    ) -> bool:
        if self.away:
            raise StoreError("it is away")
        if self.changed_by_others:
            self.changed_by_others -= 1
            return False
        return await super().change_values(changes, audit)


@pytest.fixture
def ledger() -> MovingLedger:
    return MovingLedger()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def monitors(ledger: MovingLedger, clock: ManualClock) -> SourceMonitors:
    return SourceMonitors(ledger, clock, Metrics())


async def test_what_came_is_kept_with_when_it_came(
    monitors: SourceMonitors, ledger: MovingLedger, clock: ManualClock
) -> None:
    began = clock.now()
    monitor = monitors.monitor("orders")
    monitor.accepted(AppendReceipt(2, 1), clock.monotonic())
    monitor.refused(REFUSAL, clock.monotonic())
    await clock.advance(5)
    await monitors.keep()
    await monitors.keep()
    counts = (await source_counts(ledger))["orders"]
    assert (counts.accepted, counts.duplicates, counts.refused) == (2, 1, {"missing-value": 1})
    assert counts.received_at == began
    assert counts.last_refusal is not None
    assert (counts.last_refusal.at, counts.last_refusal.code, counts.last_refusal.text) == (
        *(began, "missing-value"),
        "no id: id is gone",
    )


async def test_a_request_without_events_does_not_count_as_received(
    monitors: SourceMonitors, ledger: MovingLedger, clock: ManualClock
) -> None:
    monitors.monitor("orders").accepted(AppendReceipt(0, 0), clock.monotonic())
    await monitors.keep()
    assert await source_counts(ledger) == {}


async def test_counts_that_could_not_be_kept_are_kept_later(
    monitors: SourceMonitors, ledger: MovingLedger, clock: ManualClock
) -> None:
    monitor = monitors.monitor("orders")
    monitor.accepted(AppendReceipt(1, 0), clock.monotonic())
    ledger.changed_by_others = 1
    await monitors.keep()
    assert await source_counts(ledger) == {}
    ledger.away = True
    with pytest.raises(StoreError):
        await monitors.keep()
    ledger.away = False
    monitor.accepted(AppendReceipt(1, 0), clock.monotonic())
    await monitors.keep()
    assert (await source_counts(ledger))["orders"].accepted == 2


async def test_processes_add_to_the_same_counts(ledger: MovingLedger, clock: ManualClock) -> None:
    for _ in range(3):
        process = SourceMonitors(ledger, clock, Metrics())
        process.monitor("orders").refused(REFUSAL, clock.monotonic())
        await process.keep()
    assert (await source_counts(ledger))["orders"].refused == {"missing-value": 3}


async def test_unknown_sources_are_in_the_metrics_only(
    ledger: MovingLedger, clock: ManualClock
) -> None:
    metrics = Metrics()
    monitors = SourceMonitors(ledger, clock, metrics)
    monitors.monitor("").refused(REFUSAL, clock.monotonic())
    await monitors.keep()
    monitors.report()
    monitors.report()
    sample = 'busway_source_refused_total{reason="missing-value",source=""} 1.0'
    assert sample in metrics.render().decode()
    assert await source_counts(ledger) == {}


async def test_no_sender_makes_any_number_of_codes(
    monitors: SourceMonitors, ledger: MovingLedger, clock: ManualClock
) -> None:
    for number in range(3 * MAX_CODES):
        refusal = RequestRefusal(400, f"code-{number}", "No", "no")
        monitors.monitor("orders").refused(refusal, clock.monotonic())
    await monitors.keep()
    refused = (await source_counts(ledger))["orders"].refused
    assert (len(refused), refused["other"]) == (MAX_CODES + 1, 2 * MAX_CODES)


async def test_a_pause_takes_effect_until_it_is_over(
    monitors: SourceMonitors, ledger: MovingLedger, clock: ManualClock
) -> None:
    control = ControlContext(log=MemoryLog(1), ledger=ledger, clock=clock)
    await keep_records(ledger, {"orders": SourceRecord("request", "webhook")})
    monitor = monitors.monitor("orders")
    await pause_source(control, "orders", "ann")
    await monitors.load()
    assert monitor.paused == "the source 'orders' is paused; send again later"
    await resume_source(control, "orders", "ann")
    await monitors.load()
    assert monitor.paused == ""


def test_nothing_counted_is_no_change() -> None:
    assert SourceCounts() + SourceCounts() == SourceCounts()
