"""A query for failed events as SQL, so that each kind of question has its index."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from busway.engine.sqlite.database import sql
from busway.engine.sqlite.timestamp import to_microseconds
from busway.failed_event import FailedEventQuery
from busway.lane import EventRef

_ORDER = 'flow, partition, "offset"'


def build_query(query: FailedEventQuery) -> tuple[str, tuple[Any, ...]]:
    """Return the statement and its bindings."""
    where, bindings = _where(query)
    order = f"due, {_ORDER}" if query.due_by else _ORDER
    statement = (
        f"{sql('ledger/failed_events')} {_index_hint(query)} WHERE {where} ORDER BY {order} LIMIT ?"
    )
    return statement, (*bindings, query.limit)


def needs_scan(query: FailedEventQuery) -> bool:
    """Return whether a query may scan all failed events, so that it must not block the loop."""
    if query.due_by or query.event_id is not None or query.event_key is not None:
        return False
    known = query.state is not None and query.flow is not None
    filters = query.error, query.since_from, query.since_to
    if query.fingerprint is not None:
        return not known or any(filters)
    return any(value is not None for value in filters)


def _index_hint(query: FailedEventQuery) -> str:
    """Return the index that has a page in its order, from where the page before ended."""
    if query.due_by:
        return "INDEXED BY failed_event_by_due"
    if query.keys is not None:
        return "INDEXED BY failed_event_by_key"
    if needs_scan(query) and query.state is not None and query.fingerprint is None:
        return "INDEXED BY failed_event_by_state"
    return ""


def build_group_query(query: FailedEventQuery) -> tuple[str, tuple[Any, ...]]:
    """Return the statement that counts by root cause, and its bindings."""
    known = (query.state, query.flow, query.fingerprint)
    if query == FailedEventQuery(*known[:2], limit=query.limit, fingerprint=known[2]):
        return sql("ledger/counted_failed_event_groups"), (*known, query.limit)
    where, bindings = _where(msgspec.structs.replace(query, after=None, due_by=None))
    statement = (
        f"{sql('ledger/failed_event_groups')} WHERE {where} GROUP BY state, flow, fingerprint"
        " ORDER BY count(*) DESC, flow, fingerprint, state LIMIT ?"
    )
    return statement, (*bindings, query.limit)


def _where(query: FailedEventQuery) -> tuple[str, tuple[Any, ...]]:
    conditions = list(_conditions(query))
    text = " AND ".join(text for text, _ in conditions) or "true"
    return text, tuple(value for _, values in conditions for value in values)


def _conditions(query: FailedEventQuery) -> Iterator[tuple[str, tuple[Any, ...]]]:
    # a + keeps SQLite from using an index on a column when a better one is there
    plus = "+" if query.event_id is not None or query.event_key is not None else ""
    if query.due_by:
        yield "state = 'parked' AND due IS NOT NULL AND due <= ?", (to_microseconds(query.due_by),)
    if query.event_id is not None:
        yield "event_id = ?", (query.event_id,)
    if query.state is not None:
        yield f"{plus}state = ?", (query.state,)
    if query.flow is not None:
        yield f"{plus}flow = ?", (query.flow,)
    if query.partition is not None:
        yield f"{plus}partition = ?", (query.partition,)
    if query.partitions is not None:
        parameters = ", ".join("?" * len(query.partitions)) or "NULL"
        yield f"{plus}partition IN ({parameters})", query.partitions
    if query.keys is not None:
        parameters = ", ".join("?" * len(query.keys)) or "NULL"
        yield f"state = 'parked' AND key IS NOT NULL AND key IN ({parameters})", query.keys
    yield from _failure_conditions(query)
    if query.after is not None:
        yield _after_condition(query, query.after)


def _failure_conditions(query: FailedEventQuery) -> Iterator[tuple[str, tuple[Any, ...]]]:
    if query.event_key is not None:
        yield "event_key = ?", (query.event_key,)
    if query.fingerprint is not None:
        yield "fingerprint = ?", (query.fingerprint,)
    if query.error is not None:
        yield "error = ?", (query.error,)
    if query.since_from is not None:
        yield "since >= ?", (to_microseconds(query.since_from),)
    if query.since_to is not None:
        yield "since < ?", (to_microseconds(query.since_to),)


def _after_condition(query: FailedEventQuery, after: EventRef) -> tuple[str, tuple[Any, ...]]:
    """Compare only columns that are not fixed: SQLite cannot seek a row value with the others."""
    if query.flow is None:
        return f"({_ORDER}) > (?, ?, ?)", after
    if query.flow != after.flow:
        return ("true" if query.flow > after.flow else "false"), ()
    if query.partition is None:
        return '(partition, "offset") > (?, ?)', (after.partition, after.offset)
    if query.partition != after.partition:
        return ("true" if query.partition > after.partition else "false"), ()
    return '"offset" > ?', (after.offset,)
