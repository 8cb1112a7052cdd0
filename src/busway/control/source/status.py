"""The sources and the state of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal

import msgspec
from msgspec.structs import replace

from busway.control.source.reader import ReaderRecord, reader_records
from busway.control.source.record import (
    LastRefusal,
    SourceCounts,
    SourceKind,
    SourceRecord,
    source_counts,
    source_pauses,
    source_records,
)
from busway.control.worker import WorkerRecord, worker_records
from busway.delivery.operator_control import Pause
from busway.ports import Ledger

SourceState = Literal["running", "paused", "failing", "stopped", "undeclared"]
_LONGEST_POSITION = 200


class SourceWorker(msgspec.Struct, frozen=True):
    """The worker that reads from a source."""

    id: str
    host: str
    pid: int


class SourceStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A source: its state, and its counts of accepted and refused events.

    ``accepted`` and ``duplicates`` are events, ``refused`` counts requests, or records of a reader,
    by the code of the reason. ``paused_by``, ``paused_since`` and ``until`` are those of a pause.
    A reader is ``failing`` while it cannot be read, and ``stopped`` by a gap until it is resumed:
    ``state_reason`` has the error, ``failing_since`` and ``failures`` go with it. Its ``position``
    is shown as text, ``next_at`` is when it has something next, ``lag`` how many records wait,
    if it knows; ``worker`` reads from it, ``None`` where one process works alone.
    """

    name: str
    kind: SourceKind
    type: str
    address: str = ""
    state: SourceState = "running"
    state_reason: str = ""
    paused_by: str = ""
    paused_since: datetime | None = None
    until: datetime | None = None
    accepted: int = 0
    duplicates: int = 0
    refused: Mapping[str, int] = {}
    received_at: datetime | None = None
    last_refusal: LastRefusal | None = None
    failing_since: datetime | None = None
    failures: int = 0
    position: str = ""
    saved_at: datetime | None = None
    next_at: datetime | None = None
    lag: int | None = None
    worker: SourceWorker | None = None


async def source_statuses(ledger: Ledger, now: datetime) -> Sequence[SourceStatus]:
    """Return the status of every source, by name."""
    records, counts = await source_records(ledger), await source_counts(ledger)
    pauses, readers = await source_pauses(ledger), await reader_records(ledger)
    alive = await worker_records(ledger)
    statuses = []
    for name, record in sorted(records.items()):
        status = _status(name, record, counts.get(name, SourceCounts()))
        if name in readers:
            status = _of_reader(status, readers[name], alive)
        statuses.append(_held(status, record, holding(pauses, name, now)))
    return statuses


def holding(pauses: Mapping[str, Pause], name: str, now: datetime) -> Pause | None:
    """Return the current pause of a source, if any."""
    pause = pauses.get(name)
    return None if pause is None or (pause.until is not None and pause.until <= now) else pause


def _status(name: str, record: SourceRecord, counts: SourceCounts) -> SourceStatus:
    return SourceStatus(
        name=name,
        kind=record.kind,
        type=record.type,
        address=record.address,
        accepted=counts.accepted,
        duplicates=counts.duplicates,
        refused=counts.refused,
        received_at=counts.received_at,
        last_refusal=counts.last_refusal,
    )


def _of_reader(
    status: SourceStatus, reader: ReaderRecord, alive: Mapping[str, WorkerRecord]
) -> SourceStatus:
    worker, position = alive.get(reader.worker), reader.position or b""
    status = replace(
        status,
        position=position[:_LONGEST_POSITION].decode("utf-8", "replace"),
        saved_at=reader.saved_at,
        next_at=reader.next_at,
        lag=reader.lag,
        worker=worker and SourceWorker(reader.worker, worker.host, worker.pid),
    )
    fault = reader.fault
    if fault is None:
        return status
    return replace(
        status,
        state="stopped" if fault.gap else "failing",
        state_reason=f"{fault.error}: {fault.text}",
        failing_since=fault.since,
        failures=fault.failures,
    )


def _held(status: SourceStatus, record: SourceRecord, pause: Pause | None) -> SourceStatus:
    """Return a status with the pause or the missing declaration, which take precedence."""
    if not record.declared:
        return replace(status, state="undeclared")
    if pause is None:
        return status
    return replace(
        status,
        state="paused",
        state_reason=pause.reason or status.state_reason,
        paused_by=pause.actor,
        paused_since=pause.since,
        until=pause.until,
    )
