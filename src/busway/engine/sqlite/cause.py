"""How many troubles have a root cause, counted in the transactions that change them."""

from __future__ import annotations

from collections import Counter

import apsw

from busway.engine.sqlite.database import sql
from busway.lane import State, Trouble

Cause = tuple[State, str, str, str]
"""State, flow, fingerprint and error."""


def cause_of(trouble: Trouble) -> Cause:
    """Return what a trouble is counted under."""
    return (trouble.state, trouble.flow, trouble.fingerprint, trouble.error)


def count_causes(connection: apsw.Connection, changes: Counter[Cause]) -> None:
    """Add to the counts what they change by."""
    for cause, change in changes.items():
        if not change:
            continue
        connection.execute(sql("ledger/count_cause"), (*cause, change))
        if not connection.changes():
            connection.execute(sql("ledger/add_cause"), (*cause, change))
