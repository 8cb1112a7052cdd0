"""Readers as operators see them: state, position, lag, worker, and gaps."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest

from busway.control.context import ControlContext
from busway.control.source.operation import pause_source, resume_source
from busway.control.source.reader import READER, ReaderFault, ReaderRecord, reader_records
from busway.control.source.record import SourceRecord, keep_records
from busway.control.source.status import SourceStatus, SourceWorker, source_statuses
from busway.control.worker import WORKER, WorkerRecord
from busway.errors import Conflict
from busway.testing import ManualClock, MemoryLedger, MemoryLog

AT = datetime(2020, 1, 1, 8, tzinfo=UTC)
AWAY = ReaderFault("SourceError", "the server is away", AT, AT, failures=4)
GONE = ReaderFault("SourceGap", "the slot is gone", AT, AT, gap=True, continue_at=b"40")
READ = ReaderRecord(position=b"17", worker="w1", saved_at=AT, next_at=AT, lag=3)


@pytest.fixture
async def control() -> ControlContext:
    made = ControlContext(log=MemoryLog(1), ledger=MemoryLedger(), clock=ManualClock())
    await keep_records(made.ledger, {"feed": SourceRecord("reader", "numbers")})
    return made


async def keep(control: ControlContext, record: ReaderRecord) -> None:
    await control.ledger.put_value(READER + "feed", msgspec.json.encode(record))


async def status(control: ControlContext) -> SourceStatus:
    (found,) = await source_statuses(control.ledger, control.clock.now())
    return found


async def test_a_reader_reports_position_lag_next_time_and_worker(
    control: ControlContext,
) -> None:
    await keep(control, READ)
    assert (await status(control)).worker is None, "the one that it had does not live any more"
    beat = WorkerRecord(1, AT, AT, "host-a", 4711)
    await control.ledger.put_value(WORKER + "w1", msgspec.json.encode(beat))
    found = await status(control)
    assert found.worker == SourceWorker("w1", "host-a", 4711)
    assert (found.state, found.position, found.lag, found.next_at, found.saved_at) == (
        *("running", "17", 3),
        *(AT, AT),
    )


async def test_a_position_that_is_no_text_is_shown_all_the_same(control: ControlContext) -> None:
    await keep(control, ReaderRecord(position=b"\xff1"))
    assert (await status(control)).position == "\ufffd1"


async def test_a_reader_that_fails_says_why_and_since_when(control: ControlContext) -> None:
    await keep(control, msgspec.structs.replace(READ, fault=AWAY))
    found = await status(control)
    assert (found.state, found.state_reason) == ("failing", "SourceError: the server is away")
    assert (found.failing_since, found.failures) == (AT, 4)
    await pause_source(control, "feed", "ann")
    found = await status(control)
    assert (found.state, found.state_reason) == ("paused", "SourceError: the server is away")


@pytest.mark.parametrize(("skip_gap", "position"), [(False, b"17"), (True, b"40")])
async def test_a_gap_is_resumed_by_an_operator_only(
    control: ControlContext, skip_gap: bool, position: bytes
) -> None:
    await keep(control, msgspec.structs.replace(READ, fault=GONE))
    assert (await status(control)).state == "stopped"
    await resume_source(control, "feed", "ann", "lost", skip_gap=skip_gap)
    record = (await reader_records(control.ledger))["feed"]
    assert (record.position, record.fault, record.lag) == (position, None, 3)
    (audit,) = await control.ledger.audit_records("source/feed")
    assert (audit.actor, audit.reason) == ("ann", "lost")
    assert audit.action == ("skip gap" if skip_gap else "resume")
    assert (await status(control)).state == "running"


async def test_there_is_no_gap_to_skip_in_a_reader_that_only_fails(control: ControlContext) -> None:
    await keep(control, msgspec.structs.replace(READ, fault=AWAY))
    with pytest.raises(Conflict, match="not stopped by a gap"):
        await resume_source(control, "feed", "ann", skip_gap=True)
    assert (await status(control)).state == "failing"
