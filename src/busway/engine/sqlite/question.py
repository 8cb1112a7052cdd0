"""A query for troubles as SQL, so that each kind of question has its index."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from busway.engine.sqlite.database import sql
from busway.engine.sqlite.moment import stored
from busway.lane import Query

_ORDER = 'flow, partition, "offset"'


def question(query: Query) -> tuple[str, tuple[Any, ...]]:
    """Return the statement and its bindings."""
    conditions = list(_conditions(query))
    where = " AND ".join(text for text, _ in conditions) or "true"
    order = f"due, {_ORDER}" if query.due_by else _ORDER
    bindings = [value for _, values in conditions for value in values]
    index = "INDEXED BY trouble_by_due" if query.due_by else ""
    statement = f"{sql('ledger/troubles')} {index} WHERE {where} ORDER BY {order} LIMIT ?"
    return statement, (*bindings, query.limit)


def _conditions(query: Query) -> Iterator[tuple[str, tuple[Any, ...]]]:
    # a + keeps SQLite from using an index on a column when a better one is there
    plus = "+" if query.event_id is not None else ""
    if query.due_by:
        yield "state = 'parked' AND due IS NOT NULL AND due <= ?", (stored(query.due_by),)
    if query.event_id is not None:
        yield "event_id = ?", (query.event_id,)
    if query.state is not None:
        yield f"{plus}state = ?", (query.state,)
    if query.flow is not None:
        yield f"{plus}flow = ?", (query.flow,)
    if query.partition is not None:
        yield f"{plus}partition = ?", (query.partition,)
    if query.after is not None:
        yield _later(query, query.after)


def _later(query: Query, after: tuple[str, int, int]) -> tuple[str, tuple[Any, ...]]:
    """Compare only columns that are not fixed, because SQLite seeks no row value on those."""
    if query.flow is None:
        return f"({_ORDER}) > (?, ?, ?)", after
    if query.flow != after[0]:
        return ("true" if query.flow > after[0] else "false"), ()
    if query.partition is None:
        return '(partition, "offset") > (?, ?)', after[1:]
    if query.partition != after[1]:
        return ("true" if query.partition > after[1] else "false"), ()
    return '"offset" > ?', after[2:]
