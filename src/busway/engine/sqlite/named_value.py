"""Compare and set named values, inside a transaction."""

from __future__ import annotations

from collections.abc import Sequence

import apsw
from msgspec import UNSET

from busway.engine.sqlite.database import fetch, sql
from busway.named_value import ValueChange


def apply_changes(connection: apsw.Connection, changes: Sequence[ValueChange]) -> bool:
    """Apply all changes, or none if any expected value differs; return whether it applied them."""
    if not all(_is_as_expected(connection, change) for change in changes):
        return False
    for change in changes:
        if change.value is None:
            connection.execute(sql("ledger/delete_value"), (change.name,))
        else:
            connection.execute(sql("ledger/put_value"), (change.name, change.value))
    return True


def _is_as_expected(connection: apsw.Connection, change: ValueChange) -> bool:
    if change.expected is UNSET:
        return True
    rows = fetch(connection, "ledger/get_value", (change.name,))
    return (rows[0][0] if rows else None) == change.expected
