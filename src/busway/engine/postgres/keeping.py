"""What is done to named values, to whole flows and to the trail, inside a transaction."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import UNSET

from busway.engine.postgres.database import Connection, fetch, run_many
from busway.engine.postgres.row import ROWS
from busway.lane import Audit, Change

_TABLES = ("lane", "trouble", "settled", "resolved")


async def change(connection: Connection, changes: Sequence[Change]) -> bool:
    """Make all changes, or none where one is not as expected; say which."""
    names = sorted({one.name for one in changes})
    for name in names:  # a row that is not there cannot be locked
        await fetch(connection, "ledger/lock_name", name)
    found = {str(n): bytes(v) for n, v in await fetch(connection, "ledger/get_named", names)}
    for one in changes:
        if one.expected is not UNSET and found.get(one.name) != one.expected:
            return False
    for one in changes:
        if one.value is None:
            await fetch(connection, "ledger/drop", one.name)
        else:
            await fetch(connection, "ledger/put", one.name, one.value)
    return True


async def note(connection: Connection, audit: Sequence[Audit]) -> None:
    """Add to the trail."""
    if audit:
        await run_many(connection, "ledger/add_audit", [ROWS.audit_row(one) for one in audit])


async def rename(connection: Connection, old: str, new: str, audit: Sequence[Audit]) -> bool:
    """Give a flow's rows another name where that is free; say whether it was."""
    ((taken,),) = await fetch(connection, "ledger/has_lanes", new)
    if taken:
        return False
    await fetch(connection, "ledger/lock_flow", old)
    await fetch(connection, "ledger/defer")
    for table in _TABLES:
        await fetch(connection, f"ledger/rename_flow_{table}", old, new)
    await note(connection, audit)
    return True


async def remove(connection: Connection, flow: str, audit: Sequence[Audit]) -> bool:
    """Delete a flow's rows; say whether it had lanes."""
    if not await fetch(connection, "ledger/lock_flow", flow):
        return False
    await fetch(connection, "ledger/defer")
    for table in _TABLES:
        await fetch(connection, f"ledger/remove_flow_{table}", flow)
    await note(connection, audit)
    return True
