"""How many troubles have a root cause, counted in the transactions that change them."""

from __future__ import annotations

from collections import Counter

import apsw

from busway.engine.sqlite.database import sql
from busway.failed_event import FailedEvent, FailedEventState

CountKey = tuple[FailedEventState, str, str, str]
"""State, flow, fingerprint and error."""


def count_key(event: FailedEvent) -> CountKey:
    """Return what a trouble is counted under."""
    return (event.state, event.flow, event.fingerprint, event.error)


def adjust_counts(connection: apsw.Connection, changes: Counter[CountKey]) -> None:
    """Add to the counts what they change by."""
    for cause, change in changes.items():
        if not change:
            continue
        connection.execute(sql("ledger/adjust_failed_event_count"), (*cause, change))
        if not connection.changes():
            connection.execute(sql("ledger/add_failed_event_count"), (*cause, change))
