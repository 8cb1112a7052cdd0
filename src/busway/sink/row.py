"""Results as rows of a table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from enum import Enum
from itertools import groupby
from math import isfinite
from operator import itemgetter
from typing import cast

import msgspec

from busway.errors import EventError
from busway.event import Event
from busway.outcome import Rejected
from busway.ports import LoadItem

Row = dict[str, object]


class ItemRows(msgspec.Struct, frozen=True):
    """The rows of one item, written together or not at all; ``index`` is that of the item."""

    index: int
    rows: Sequence[Row]


class RowRun(msgspec.Struct, frozen=True):
    """Consecutive rows with the same columns in the same order."""

    columns: tuple[str, ...]
    rows: Sequence[Row]


def dict_rows(items: Sequence[LoadItem], pending: Sequence[int]) -> list[Row] | None:
    """Return all rows of the pending items if every result is a dict, else ``None``."""
    chosen = items if len(pending) == len(items) else [items[index] for index in pending]
    rows = [result for item in chosen for result in item.results]
    return cast("list[Row]", rows) if set(map(type, rows)) <= {dict} else None


def item_rows(
    items: Sequence[LoadItem], pending: Sequence[int]
) -> tuple[list[ItemRows], dict[int, Rejected]]:
    """Return the rows of each pending item, and the rejections of items without valid rows."""
    batch: list[ItemRows] = []
    problems: dict[int, Rejected] = {}
    for index in pending:
        rows = rows_of(items[index])
        if isinstance(rows, Rejected):
            problems[index] = rows
        elif rows:
            batch.append(ItemRows(index, rows))
    return batch, problems


def rows_of(item: LoadItem) -> list[Row] | Rejected:
    """Return a row for each result of an item: the dict, or the data of the event."""
    rows: list[Row] = []
    for result in item.results:
        try:
            row = result.data if isinstance(result, Event) else result
        except EventError as error:
            return Rejected("EventError", str(error))
        if not isinstance(row, dict):
            return Rejected(
                "not a row",
                f"a table takes dicts, not {type(row).__name__}; return a dict of column to value",
            )
        rows.append(row)
    return rows


def row_runs(rows: Iterable[Row]) -> Iterator[RowRun]:
    """Group rows into runs, in order."""
    for columns, group in groupby(rows, key=tuple):
        yield RowRun(columns, list(group))


def all_rows(batch: Iterable[ItemRows]) -> Iterator[Row]:
    """Return the rows of many items, in order."""
    return (row for rows in batch for row in rows.rows)


def has_null_key(rows: Sequence[Row], key: Sequence[str]) -> bool:
    """Say whether a key column is null in any row; all rows must have the key columns."""
    return any(None in map(itemgetter(name), rows) for name in key)


def plain_value(value: object) -> object:
    """Return the plain value of an enum member or of an instance of a subclass."""
    if type(value) in _PLAIN:
        return value
    if isinstance(value, Enum):
        return plain_value(value.value)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int.__index__(value)
    if isinstance(value, float):
        return float.__float__(value)
    return bytes(value) if isinstance(value, bytes | bytearray | memoryview) else value


_PLAIN = frozenset({str, int, float, bool, bytes, type(None)})


def is_exact_float(value: int | Decimal) -> bool:
    """Say whether a float represents a number without losing digits."""
    try:
        number = float(value)
    except OverflowError:
        return False
    return isfinite(number) and Decimal(repr(number)) == value


def shown_value(value: object, max_chars: int = 60) -> str:
    """Return a value for an error text, shortened to ``max_chars`` characters."""
    try:
        text = repr(value[:max_chars] if isinstance(value, str | bytes) else value)
    except Exception:
        text = f"<{type(value).__name__}>"
    if len(text) <= max_chars and not (isinstance(value, str | bytes) and len(value) > max_chars):
        return text
    return text[: max_chars - 3] + "..."


def shown_first_row(rows: Sequence[Row]) -> str:
    """Return the first row of an item for an error text."""
    return shown_value(rows[0], 120)
