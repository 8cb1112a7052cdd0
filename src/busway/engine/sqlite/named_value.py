"""What is done to named values, to whole flows and to the trail, inside a transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import apsw
from msgspec import UNSET

from busway.audit_record import AuditRecord
from busway.engine.sqlite.database import Row, fetch, sql
from busway.engine.sqlite.row_codec import ROW_CODEC
from busway.engine.sqlite.timestamp import to_microseconds
from busway.named_value import ValueChange

_FLOW_TABLES = ("lane", "failed_event", "failed_event_count", "settled_range", "resolved_event")
_PRUNE_ROWS = 5_000


def apply_changes(connection: apsw.Connection, changes: Sequence[ValueChange]) -> bool:
    """Make all changes, or none where one is not as expected; say which."""
    if not all(_as_expected(connection, one) for one in changes):
        return False
    for one in changes:
        if one.value is None:
            connection.execute(sql("ledger/delete_value"), (one.name,))
        else:
            connection.execute(sql("ledger/put_value"), (one.name, one.value))
    return True


def add_audit(connection: apsw.Connection, audit: Sequence[AuditRecord]) -> None:
    """Add to the trail."""
    for one in audit:
        connection.execute(sql("ledger/add_audit"), ROW_CODEC.encode_audit(one))


def rename_flow(
    connection: apsw.Connection, old: str, new: str, audit: Sequence[AuditRecord]
) -> bool:
    """Give a flow's rows another name where that is free; say whether it was."""
    if fetch(connection, "ledger/has_lanes", (new,)):
        return False
    connection.pragma("defer_foreign_keys", True)
    for table in _FLOW_TABLES:
        connection.execute(sql(f"ledger/rename_flow_{table}"), (old, new))
    add_audit(connection, audit)
    return True


def remove_flow(connection: apsw.Connection, flow: str, audit: Sequence[AuditRecord]) -> bool:
    """Delete a flow's rows; say whether it had lanes."""
    if not fetch(connection, "ledger/has_lanes", (flow,)):
        return False
    connection.pragma("defer_foreign_keys", True)
    for table in _FLOW_TABLES:
        connection.execute(sql(f"ledger/remove_flow_{table}"), (flow,))
    add_audit(connection, audit)
    return True


def prune_history(connection: apsw.Connection, before: datetime) -> bool:
    """Forget a bounded piece of what is older than a time; say whether there may be more."""
    connection.execute(sql("ledger/prune_resolved_events"), (to_microseconds(before), _PRUNE_ROWS))
    more = connection.changes() == _PRUNE_ROWS
    connection.execute(sql("ledger/prune_failed_event_counts"))
    last: Row | None = None
    for row in fetch(connection, "ledger/mergeable_ranges", (to_microseconds(before),)):
        last = _merge_range(connection, last, row)
    return more


def _merge_range(connection: apsw.Connection, previous: Row | None, row: Row) -> Row:
    """Merge a settled range into the one before it where they touch; return what stands there."""
    flow, partition, start, end, version, last_at, *counts = row
    if previous is None or (flow, partition, version, start) != (
        *previous[:2],
        previous[4],
        previous[3],
    ):
        return row
    connection.execute(sql("ledger/remove_settled_range"), (flow, partition, start))
    grown = (end, last_at, *counts)
    connection.execute(sql("ledger/grow_settled_range"), (flow, partition, previous[2], *grown))
    return (flow, partition, previous[2], end, version, last_at)


def _as_expected(connection: apsw.Connection, change: ValueChange) -> bool:
    if change.expected is UNSET:
        return True
    found = fetch(connection, "ledger/get_value", (change.name,))
    return (found[0][0] if found else None) == change.expected
