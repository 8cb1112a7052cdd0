"""Python values as SQLite holds them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from itertools import chain
from typing import Any
from uuid import UUID

from busway.json_text import encode_json
from busway.sink.row import Row, Run, shown

AS_THEY_ARE = frozenset({int, float, str, bytes, bool, type(None)})
_CONVERTERS: dict[type, Callable[[Any], str]] = {
    datetime: datetime.isoformat,
    date: str,
    time: str,
    Decimal: str,
    UUID: str,
    dict: lambda value: encode_json(value).decode(),
    list: lambda value: encode_json(value).decode(),
    tuple: lambda value: encode_json(value).decode(),
}
_COLUMN_TYPES: dict[type, str] = {bool: "INTEGER", int: "INTEGER", float: "REAL", bytes: "BLOB"}
INT64 = range(-(2**63), 2**63)


def column_type(value: object) -> str:
    """Return the type that a new column gets from its first value."""
    return _COLUMN_TYPES.get(type(value), "TEXT")


def tuples(run: Run, columns: tuple[str, ...]) -> Sequence[Sequence[object]]:
    """Return the values of a run as SQLite holds them.

    Raises :class:`TypeError` that names the column of a value that it cannot hold.
    """
    if columns == run.columns:
        values: list[tuple[object, ...]] = [tuple(row.values()) for row in run.rows]
    else:
        values = [tuple(map(row.__getitem__, columns)) for row in run.rows]
    kinds = set(map(type, chain.from_iterable(values)))
    return values if kinds <= AS_THEY_ARE else [_converted(row, columns) for row in run.rows]


def _converted(row: Row, columns: tuple[str, ...]) -> tuple[object, ...]:
    return tuple(_plain(row[name], name) for name in columns)


def _plain(value: object, column: str) -> object:
    if type(value) in AS_THEY_ARE:
        return value
    for kind in type(value).__mro__:
        if kind in AS_THEY_ARE:
            return kind(value)
        convert = _CONVERTERS.get(kind)
        if convert:
            return convert(value)
    raise TypeError(f"column {column!r}: a {type(value).__name__} cannot be stored: {shown(value)}")
