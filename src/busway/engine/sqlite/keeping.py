"""What is done to named values, to whole flows and to the trail, inside a transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import apsw
from msgspec import UNSET

from busway.engine.sqlite.database import Row, rows, sql
from busway.engine.sqlite.moment import stored
from busway.engine.sqlite.row import ROWS
from busway.lane import Audit, Change

_TABLES = ("lane", "trouble", "cause", "settled", "resolved")
_FORGOTTEN_AT_ONCE = 5_000


def change(connection: apsw.Connection, changes: Sequence[Change]) -> bool:
    """Make all changes, or none where one is not as expected; say which."""
    if not all(_as_expected(connection, one) for one in changes):
        return False
    for one in changes:
        if one.value is None:
            connection.execute(sql("ledger/drop"), (one.name,))
        else:
            connection.execute(sql("ledger/put"), (one.name, one.value))
    return True


def note(connection: apsw.Connection, audit: Sequence[Audit]) -> None:
    """Add to the trail."""
    for one in audit:
        connection.execute(sql("ledger/add_audit"), ROWS.audit_row(one))


def rename(connection: apsw.Connection, old: str, new: str, audit: Sequence[Audit]) -> bool:
    """Give a flow's rows another name where that is free; say whether it was."""
    if rows(connection, "ledger/has_lanes", (new,)):
        return False
    connection.pragma("defer_foreign_keys", True)
    for table in _TABLES:
        connection.execute(sql(f"ledger/rename_flow_{table}"), (old, new))
    note(connection, audit)
    return True


def remove(connection: apsw.Connection, flow: str, audit: Sequence[Audit]) -> bool:
    """Delete a flow's rows; say whether it had lanes."""
    if not rows(connection, "ledger/has_lanes", (flow,)):
        return False
    connection.pragma("defer_foreign_keys", True)
    for table in _TABLES:
        connection.execute(sql(f"ledger/remove_flow_{table}"), (flow,))
    note(connection, audit)
    return True


def forget(connection: apsw.Connection, before: datetime) -> bool:
    """Forget a bounded piece of what is older than a time; say whether there may be more."""
    connection.execute(sql("ledger/forget_resolved"), (stored(before), _FORGOTTEN_AT_ONCE))
    more = connection.changes() == _FORGOTTEN_AT_ONCE
    connection.execute(sql("ledger/forget_causes"))
    last: Row | None = None
    for row in rows(connection, "ledger/mergeable", (stored(before),)):
        last = _merged(connection, last, row)
    return more


def _merged(connection: apsw.Connection, last: Row | None, row: Row) -> Row:
    """Merge a settled range into the one before it where they touch; return what stands there."""
    flow, partition, start, end, version, last_at, *counts = row
    if last is None or (flow, partition, version, start) != (*last[:2], last[4], last[3]):
        return row
    connection.execute(sql("ledger/remove_range"), (flow, partition, start))
    grown = (end, last_at, *counts)
    connection.execute(sql("ledger/grow_range"), (flow, partition, last[2], *grown))
    return (flow, partition, last[2], end, version, last_at)


def _as_expected(connection: apsw.Connection, one: Change) -> bool:
    if one.expected is UNSET:
        return True
    found = rows(connection, "ledger/get_one", (one.name,))
    return (found[0][0] if found else None) == one.expected
