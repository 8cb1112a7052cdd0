"""Count failed events by root cause, in the transactions that change them."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import apsw

from busway.engine.sqlite.database import sql
from busway.failed_event import FailedEvent, FailedEventState


class CountKey(NamedTuple):
    """The root cause of failed events in a state."""

    state: FailedEventState
    flow: str
    fingerprint: str
    error: str


def count_key(event: FailedEvent) -> CountKey:
    """Return the key that a failed event is counted under."""
    return CountKey(event.state, event.flow, event.fingerprint, event.error)


def adjust_counts(connection: apsw.Connection, changes: Counter[CountKey]) -> None:
    """Add the changes to the counts."""
    for key, change in changes.items():
        if not change:
            continue
        connection.execute(sql("ledger/adjust_failed_event_count"), (*key, change))
        if not connection.changes():
            connection.execute(sql("ledger/add_failed_event_count"), (*key, change))
