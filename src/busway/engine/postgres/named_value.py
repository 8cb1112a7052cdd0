"""What is done to named values, to whole flows and to the trail, inside a transaction."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import UNSET

from busway.audit_record import AuditRecord
from busway.engine.postgres.database import Connection, execute_many, fetch
from busway.engine.postgres.row_codec import ROW_CODEC
from busway.named_value import ValueChange

_FLOW_TABLES = ("lane", "failed_event", "settled_range", "resolved_event")


async def apply_changes(connection: Connection, changes: Sequence[ValueChange]) -> bool:
    """Make all changes, or none where one is not as expected; say which."""
    names = sorted({one.name for one in changes})
    for name in names:  # a row that is not there cannot be locked
        await fetch(connection, "ledger/lock_value", name)
    found = {
        str(n): bytes(v) for n, v in await fetch(connection, "ledger/get_values_by_name", names)
    }
    for one in changes:
        if one.expected is not UNSET and found.get(one.name) != one.expected:
            return False
    for one in changes:
        if one.value is None:
            await fetch(connection, "ledger/delete_value", one.name)
        else:
            await fetch(connection, "ledger/put_value", one.name, one.value)
    return True


async def add_audit(connection: Connection, audit: Sequence[AuditRecord]) -> None:
    """Add to the trail."""
    if audit:
        await execute_many(
            connection, "ledger/add_audit", [ROW_CODEC.encode_audit(one) for one in audit]
        )


async def rename_flow(
    connection: Connection, old: str, new: str, audit: Sequence[AuditRecord]
) -> bool:
    """Give a flow's rows another name where that is free; say whether it was."""
    ((taken,),) = await fetch(connection, "ledger/has_lanes", new)
    if taken:
        return False
    await fetch(connection, "ledger/lock_flow", old)
    await fetch(connection, "ledger/defer_constraints")
    for table in _FLOW_TABLES:
        await fetch(connection, f"ledger/rename_flow_{table}", old, new)
    await add_audit(connection, audit)
    return True


async def remove_flow(connection: Connection, flow: str, audit: Sequence[AuditRecord]) -> bool:
    """Delete a flow's rows; say whether it had lanes."""
    if not await fetch(connection, "ledger/lock_flow", flow):
        return False
    await fetch(connection, "ledger/defer_constraints")
    for table in _FLOW_TABLES:
        await fetch(connection, f"ledger/remove_flow_{table}", flow)
    await add_audit(connection, audit)
    return True
