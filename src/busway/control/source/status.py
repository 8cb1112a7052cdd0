"""The sources and the state of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal

import msgspec

from busway.control.source.record import (
    LastRefusal,
    SourceCounts,
    SourceKind,
    SourceRecord,
    source_counts,
    source_pauses,
    source_records,
)
from busway.delivery.operator_control import Pause
from busway.ports import Ledger

SourceState = Literal["running", "paused", "undeclared"]


class SourceStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A source: its state, what came from it, and what was refused and why.

    ``accepted`` and ``duplicates`` are events, ``refused`` counts requests by the code of the
    reason. ``paused_by``, ``paused_since`` and ``until`` are those of a pause.
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


async def source_statuses(ledger: Ledger, now: datetime) -> Sequence[SourceStatus]:
    """Return the status of every source, by name."""
    records, counts = await source_records(ledger), await source_counts(ledger)
    pauses = await source_pauses(ledger)
    return [
        _status(name, records[name], counts.get(name, SourceCounts()), holding(pauses, name, now))
        for name in sorted(records)
    ]


def holding(pauses: Mapping[str, Pause], name: str, now: datetime) -> Pause | None:
    """Return the pause that a source is under now."""
    pause = pauses.get(name)
    return None if pause is None or (pause.until is not None and pause.until <= now) else pause


def _status(
    name: str, record: SourceRecord, counts: SourceCounts, pause: Pause | None
) -> SourceStatus:
    status = SourceStatus(
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
    if not record.declared:
        return msgspec.structs.replace(status, state="undeclared")
    if pause is None:
        return status
    return msgspec.structs.replace(
        status,
        state="paused",
        state_reason=pause.reason,
        paused_by=pause.actor,
        paused_since=pause.since,
        until=pause.until,
    )
