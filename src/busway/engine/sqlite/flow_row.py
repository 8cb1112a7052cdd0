"""Rename and remove all rows of a flow, inside a transaction."""

from __future__ import annotations

from collections.abc import Sequence

import apsw

from busway.audit_record import AuditRecord
from busway.engine.sqlite.audit import add_audit
from busway.engine.sqlite.database import fetch, sql

_FLOW_TABLES = ("lane", "failed_event", "failed_event_count", "settled_range", "resolved_event")


def rename_flow(
    connection: apsw.Connection, old: str, new: str, audit: Sequence[AuditRecord]
) -> bool:
    """Rename a flow in all of its rows unless the new name has lanes; return whether it did."""
    if fetch(connection, "ledger/has_lanes", (new,)):
        return False
    connection.pragma("defer_foreign_keys", True)
    for table in _FLOW_TABLES:
        connection.execute(sql(f"ledger/rename_flow_{table}"), (old, new))
    add_audit(connection, audit)
    return True


def remove_flow(connection: apsw.Connection, flow: str, audit: Sequence[AuditRecord]) -> bool:
    """Delete the rows of a flow; return whether it had lanes."""
    if not fetch(connection, "ledger/has_lanes", (flow,)):
        return False
    connection.pragma("defer_foreign_keys", True)
    for table in _FLOW_TABLES:
        connection.execute(sql(f"ledger/remove_flow_{table}"), (flow,))
    add_audit(connection, audit)
    return True
