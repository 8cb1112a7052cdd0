"""Compare and set named values, inside a transaction."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import UNSET

from busway.engine.postgres.database import Connection, fetch
from busway.named_value import ValueChange


async def apply_changes(connection: Connection, changes: Sequence[ValueChange]) -> bool:
    """Apply all changes, or none if any expected value differs; return whether it applied them."""
    names = sorted({change.name for change in changes})
    for name in names:  # a row that does not exist cannot be locked
        await fetch(connection, "ledger/lock_value", name)
    rows = await fetch(connection, "ledger/get_values_by_name", names)
    current = {str(name): bytes(value) for name, value in rows}
    for change in changes:
        if change.expected is not UNSET and current.get(change.name) != change.expected:
            return False
    for change in changes:
        if change.value is None:
            await fetch(connection, "ledger/delete_value", change.name)
        else:
            await fetch(connection, "ledger/put_value", change.name, change.value)
    return True
