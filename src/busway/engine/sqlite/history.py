"""Prune old resolved events and merge old settled ranges, inside a transaction."""

from __future__ import annotations

from datetime import datetime

import apsw

from busway.engine.sqlite.database import Row, fetch, sql
from busway.engine.sqlite.timestamp import to_microseconds

_PRUNE_ROWS = 5_000


def prune_history(connection: apsw.Connection, before: datetime) -> bool:
    """Prune a bounded number of rows older than a time; return whether there may be more."""
    connection.execute(sql("ledger/prune_resolved_events"), (to_microseconds(before), _PRUNE_ROWS))
    more = connection.changes() == _PRUNE_ROWS
    connection.execute(sql("ledger/prune_failed_event_counts"))
    previous: Row | None = None
    for row in fetch(connection, "ledger/mergeable_ranges", (to_microseconds(before),)):
        previous = _merge_range(connection, previous, row)
    return more


def _merge_range(connection: apsw.Connection, previous: Row | None, row: Row) -> Row:
    """Merge a settled range into the previous one if they touch; return the resulting row."""
    flow, partition, start, end, version, last_at, *counts = row
    if previous is None or (flow, partition, version, start) != (
        *previous[:2],
        previous[4],
        previous[3],
    ):
        return row
    connection.execute(sql("ledger/remove_settled_range"), (flow, partition, start))
    values = (end, last_at, *counts)
    connection.execute(sql("ledger/grow_settled_range"), (flow, partition, previous[2], *values))
    return (flow, partition, previous[2], end, version, last_at)
