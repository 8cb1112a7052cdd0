"""A query for failed events as a statement of PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from busway.engine.postgres.database import sql
from busway.failed_event import FailedEventQuery

_ORDER = 'flow, partition, "offset"'
_EQUALITY_COLUMNS = ("state", "flow", "partition", "event_id", "event_key", "error", "fingerprint")
_PREFIX_INDEXED = ("event_id", "event_key")
"""Indexed by their first characters, because an index row has a maximum length."""
_CASTS = {"partition": "::bigint"}
"""A number beyond 32 bits finds nothing instead of being an error."""


def build_query(query: FailedEventQuery) -> tuple[str, list[object]]:
    """Return the statement and its values."""
    where, values = _where(query)
    order = f"due, {_ORDER}" if query.due_by else _ORDER
    values.append(query.limit)
    statement = f"{sql('ledger/failed_events')} WHERE {where} ORDER BY {order} LIMIT ${len(values)}"
    return statement, values


def build_group_query(query: FailedEventQuery) -> tuple[str, list[object]]:
    """Return the statement that counts by root cause, and its values."""
    where, values = _where(msgspec.structs.replace(query, after=None, due_by=None))
    values.append(query.limit)
    statement = (
        f"{sql('ledger/failed_event_groups')} WHERE {where} GROUP BY state, flow, fingerprint"
        f" ORDER BY count(*) DESC, flow, fingerprint, state LIMIT ${len(values)}"
    )
    return statement, values


def _where(query: FailedEventQuery) -> tuple[str, list[object]]:
    values: list[object] = []
    texts: list[str] = []
    for text, *operands in _conditions(query):
        parameters = [f"${len(values) + n}" for n in range(1, len(operands) + 1)]
        texts.append(text.format(*parameters))
        values += operands
    return " AND ".join(texts) or "true", values


def _conditions(query: FailedEventQuery) -> Iterator[tuple[str, *tuple[object, ...]]]:
    if query.due_by:
        yield "state = 'parked' AND due IS NOT NULL AND due <= {}", query.due_by
    for name in _EQUALITY_COLUMNS:
        if (value := getattr(query, name)) is not None:
            yield f"{name} = {{}}{_CASTS.get(name, '')}", value
            if name in _PREFIX_INDEXED:
                yield f"left({name}, 256) = left({{}}, 256)", value
    if query.partitions is not None:
        yield "partition = ANY({}::int[])", list(query.partitions)
    if query.keys is not None:
        yield "state = 'parked' AND key = ANY({}::text[])", list(query.keys)
        yield "left(key, 256) = ANY({}::text[])", [key[:256] for key in query.keys]
    if query.since_from is not None:
        yield "since >= {}", query.since_from
    if query.since_to is not None:
        yield "since < {}", query.since_to
    if query.after is not None:
        yield f"({_ORDER}) > ({{}}, {{}}::bigint, {{}})", *query.after
