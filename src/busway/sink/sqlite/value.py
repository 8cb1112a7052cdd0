"""Exact conversion of Python values to values that SQLite stores."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from math import isnan
from operator import itemgetter
from typing import Any, Literal, cast
from uuid import UUID

import msgspec

from busway.json_text import encode_json
from busway.sink.row import RowRun, is_exact_float, plain_value, shown_value

Affinity = Literal["INTEGER", "NUMERIC", "REAL", "TEXT", "BLOB"]
INT64 = range(-(2**63), 2**63)
_NONE = type(None)
_STORED_UNCHANGED: dict[Affinity, frozenset[type]] = {
    "INTEGER": frozenset({int, bool, bytes, _NONE}),
    "NUMERIC": frozenset({int, bool, bytes, _NONE}),
    "REAL": frozenset({bytes, _NONE}),
    "TEXT": frozenset({str, int, bytes, _NONE}),
    "BLOB": frozenset({str, int, bool, bytes, _NONE}),
}
"""Types whose values are all stored unchanged; the driver refuses an int beyond 64 bits."""
_AFFINITY_RULES: tuple[tuple[Affinity, tuple[str, ...]], ...] = (
    ("INTEGER", ("INT",)),
    ("TEXT", ("CHAR", "CLOB", "TEXT")),
    ("BLOB", ("BLOB",)),
    ("REAL", ("REAL", "FLOA", "DOUB")),
)
_COLUMN_TYPES: dict[type, str] = {bool: "INTEGER", int: "INTEGER", float: "REAL", bytes: "BLOB"}
_NUMERIC_TEXT = re.compile(r"[ \t-\r]*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?[ \t-\r]*", re.ASCII)


class SqliteValueError(Exception):
    """A column would change a value; the text says why.

    ``error`` names the kind of error.
    """

    def __init__(self, reason: str = "", error: str = "bad value") -> None:
        super().__init__(reason)
        self.error = error


class SqliteColumn(msgspec.Struct, frozen=True):
    """A column: its name, its declared type and its affinity."""

    name: str
    declared_type: str
    affinity: Affinity


def affinity(declared: str, *, strict: bool = False) -> Affinity:
    """Return the affinity of a declared type (https://sqlite.org/datatype3.html, section 3.1)."""
    name = declared.upper()
    if not name or (strict and name == "ANY"):
        return "BLOB"
    return next((kind for kind, parts in _AFFINITY_RULES if any(map(name.count, parts))), "NUMERIC")


def column_type(value: object) -> str:
    """Return the type of a new column for its first value."""
    return _COLUMN_TYPES.get(type(plain_value(value)), "TEXT")


def stored_rows(
    run: RowRun, columns: Sequence[SqliteColumn], names: Sequence[str]
) -> Sequence[Sequence[object]]:
    """Return the values of a run as SQLite stores them; ``names`` are the run's column names.

    Raises :class:`SqliteValueError` for a value that its column would change.
    """
    stored_columns = [
        stored_column(column, list(map(itemgetter(name), run.rows)))
        for column, name in zip(columns, names, strict=True)
    ]
    return list(zip(*stored_columns, strict=True))


def stored_column(column: SqliteColumn, values: Sequence[object]) -> Sequence[object]:
    """Return the values of one column as SQLite stores them."""
    kinds = set(map(type, values))
    if kinds <= _STORED_UNCHANGED[column.affinity]:
        return values
    if (
        kinds == {float}
        and column.affinity != "TEXT"
        and not isnan(sum(cast("list[float]", values)))
    ):
        return values
    return [_convert_value(column, value) for value in values]


def _convert_value(column: SqliteColumn, value: object) -> object:
    name = "bad value"
    try:
        return _stored_value(column.affinity, plain_value(value))
    except SqliteValueError as error:
        reason = f": {error}" if str(error) else ""
    except Exception as error:
        name, reason = type(error).__name__, f": {error}"
    kind = column.declared_type or "of any type"
    raise SqliteValueError(
        f"column {column.name!r} is {kind} and cannot hold {shown_value(value)}"
        f" ({type(value).__name__}){reason}",
        name,
    )


def _stored_value(kind: Affinity, value: object) -> object:
    if type(value) in _STORED_UNCHANGED[kind]:
        return value
    if isinstance(value, bool):
        raise SqliteValueError(f"true would become {'1.0' if kind == 'REAL' else 'the text 1'}")
    if isinstance(value, float):
        return _float(kind, value)
    if isinstance(value, int):
        return _convert_integer(value)
    if isinstance(value, Decimal) and kind not in ("TEXT", "BLOB"):
        return _decimal(kind, value)
    text = value if isinstance(value, str) else _text(value)
    return text if kind in ("TEXT", "BLOB") else _unchanged_text(kind, text)


def _float(kind: Affinity, value: float) -> object:
    if isnan(value):
        raise SqliteValueError("SQLite would store null")
    if kind != "TEXT":
        return value
    if value in (float("inf"), -float("inf")):
        raise SqliteValueError
    return repr(value)


def _convert_integer(value: int) -> int:
    """Return an integer for a column of floats."""
    if not is_exact_float(value):
        raise SqliteValueError(
            "a float would lose digits of it; give it as a str to a column of text"
        )
    return value


def _decimal(kind: Affinity, value: Decimal) -> object:
    if not value.is_finite():
        raise SqliteValueError
    if kind != "REAL" and value.adjusted() < 19 and value == value.to_integral_value():
        integer = int(value)
        if integer in INT64:
            return integer
    if not is_exact_float(value):
        raise SqliteValueError("a float would lose digits of it; use a column of text")
    return float(value)


def _unchanged_text(kind: Affinity, text: str) -> str:
    """Return a text that a numeric column keeps, or turns into a number of the same text."""
    if not _NUMERIC_TEXT.fullmatch(text):
        return text
    if kind != "REAL" and len(text) <= 20 and text.lstrip("-").isdecimal():
        integer = int(text)
        if integer in INT64 and str(integer) == text:
            return text
    number = float(text)
    if repr(number) == text and (kind == "REAL" or not number.is_integer()):
        return text
    raise SqliteValueError("SQLite would store it as another text or number; use a column of text")


def _text(value: object) -> str:
    for kind in type(value).__mro__:
        if convert := _CONVERTERS.get(kind):
            return convert(value)
    raise TypeError("it is of no type that can be stored")


_CONVERTERS: dict[type, Callable[[Any], str]] = {
    datetime: datetime.isoformat,
    date: date.isoformat,
    time: time.isoformat,
    Decimal: str,
    UUID: str,
    dict: lambda value: encode_json(value).decode(),
    list: lambda value: encode_json(value).decode(),
    tuple: lambda value: encode_json(value).decode(),
}
