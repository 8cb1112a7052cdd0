"""Conversion of Python values for the columns of a PostgreSQL table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from math import isfinite
from typing import cast
from uuid import UUID

import msgspec

from busway.sink.postgres.convert import (
    INT64,
    INTEGER_RANGES,
    NO_MODIFIER,
    PostgresValueError,
    convert,
    fits_numeric,
    is_infinite,
)
from busway.sink.row import is_exact_float, plain_value, shown_value

SYSTEM_COLUMNS = frozenset({"tableoid", "cmax", "xmax", "cmin", "xmin", "ctid"})
_NONE = type(None)
_DATES = frozenset({"date", "timestamp", "timestamptz"})


class PostgresColumn(msgspec.Struct, frozen=True):
    """A column: its name, its type (the base type of a domain), and the type for display.

    ``element`` is the type of the elements of an array; ``modifier`` is the length, precision or
    scale as PostgreSQL stores it.
    """

    name: str
    kind: str
    schema: str
    type_name: str
    element: str | None = None
    modifier: int = NO_MODIFIER

    def cannot_hold(self, value: object) -> str:
        """Return the beginning of the error text for a value that the column cannot hold."""
        kind = type(value).__name__
        shown = f"{shown_value(value)} ({kind})"
        return f"column {self.name!r} is {self.type_name} and cannot hold {shown}"


class ColumnValues(msgspec.Struct, frozen=True):
    """The values of a column as the driver sends them; ``as_text``: as text that is cast."""

    values: Sequence[object]
    as_text: bool = False


_SENT_UNCHANGED: dict[str, frozenset[type]] = {
    "float8": frozenset({float, _NONE}),
    "text": frozenset({str, _NONE}),
    "bool": frozenset({bool, _NONE}),
    "date": frozenset({_NONE}),
    "uuid": frozenset({UUID, _NONE}),
    "bytea": frozenset({bytes, _NONE}),
}


def convert_column(column: PostgresColumn, values: Sequence[object]) -> ColumnValues:
    """Return the values of a column as the driver sends them.

    Raises :class:`PostgresValueError` for a value that the column cannot hold.
    """
    kinds = set(map(type, values))
    if kinds <= _SENT_UNCHANGED.get(column.kind, frozenset()):
        return ColumnValues(values)
    if kinds == {int} and column.kind in INTEGER_RANGES:
        numbers, valid_range = cast("Sequence[int]", values), INTEGER_RANGES[column.kind]
        if min(numbers) in valid_range and max(numbers) in valid_range:
            return ColumnValues(values)
    if kinds == {str} and column.kind in ("varchar", "bpchar"):
        texts = cast("Sequence[str]", values)
        if column.modifier == NO_MODIFIER or max(map(len, texts)) <= column.modifier - 4:
            return ColumnValues(values)
    converted = [None if value is None else _convert_value(column, value) for value in values]
    if column.kind in _DATES and any(map(is_infinite, converted)):
        return ColumnValues(
            [None if value is None else cast("date", value).isoformat() for value in converted],
            as_text=True,
        )
    return ColumnValues(converted)


def column_type(values: Iterable[object]) -> str:
    """Return the type of a new column that holds all of these values."""
    plain_values = [plain_value(value) for value in values]
    kinds = {_type_of(value) for value in plain_values}
    if len(kinds) == 1:
        return kinds.pop()
    if kinds <= {"bigint", "double precision", "numeric"}:
        whole = all(is_exact_float(value) for value in plain_values if isinstance(value, int))
        return "double precision" if whole and "numeric" not in kinds else "numeric"
    if kinds <= {"date", "timestamptz"}:
        return "timestamptz"
    return "jsonb" if "jsonb" in kinds else "text"


def needs_numeric(column: PostgresColumn, value: object) -> bool:
    """Say whether an integer column must become ``numeric`` to hold a value."""
    valid_range = INTEGER_RANGES.get(column.kind)
    if valid_range is None or type(value) is int:
        return valid_range is not None and value not in valid_range
    value = plain_value(value)
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return False
    if isinstance(value, Decimal) and not fits_numeric(value):
        return False
    if not isfinite(value) or not -(10**20) < value < 10**20:
        return True
    return value != int(value) or int(value) not in valid_range


def _type_of(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and value not in INT64:
        return "numeric"
    return next((name for kind, name in _TYPES if isinstance(value, kind)), "text")


_TYPES: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (bool, "boolean"),
    (int, "bigint"),
    (float, "double precision"),
    (Decimal, "numeric"),
    (str, "text"),
    (datetime, "timestamptz"),
    (date, "date"),
    (time, "time"),
    (timedelta, "interval"),
    ((bytes, bytearray), "bytea"),
    (UUID, "uuid"),
    ((dict, list, tuple), "jsonb"),
)


def _convert_value(column: PostgresColumn, value: object) -> object:
    try:
        return convert(column.kind, column.element, column.modifier, plain_value(value))
    except PostgresValueError as error:
        reason = f": {error}" if str(error) else ""
    except Exception:
        reason = ""
    raise PostgresValueError(f"{column.cannot_hold(value)}{reason}")
