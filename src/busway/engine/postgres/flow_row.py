"""Rename and remove all rows of a flow, inside a transaction."""

from __future__ import annotations

from collections.abc import Sequence

from busway.audit_record import AuditRecord
from busway.engine.postgres.audit import add_audit
from busway.engine.postgres.database import Connection, fetch

_FLOW_TABLES = ("lane", "failed_event", "settled_range", "resolved_event")


async def rename_flow(
    connection: Connection, old: str, new: str, audit: Sequence[AuditRecord]
) -> bool:
    """Rename a flow in all of its rows unless the new name has lanes; return whether it did."""
    ((is_taken,),) = await fetch(connection, "ledger/has_lanes", new)
    if is_taken:
        return False
    await fetch(connection, "ledger/lock_flow", old)
    await fetch(connection, "ledger/defer_constraints")
    for table in _FLOW_TABLES:
        await fetch(connection, f"ledger/rename_flow_{table}", old, new)
    await add_audit(connection, audit)
    return True


async def remove_flow(connection: Connection, flow: str, audit: Sequence[AuditRecord]) -> bool:
    """Delete the rows of a flow; return whether it had lanes."""
    if not await fetch(connection, "ledger/lock_flow", flow):
        return False
    await fetch(connection, "ledger/defer_constraints")
    for table in _FLOW_TABLES:
        await fetch(connection, f"ledger/remove_flow_{table}", flow)
    await add_audit(connection, audit)
    return True
