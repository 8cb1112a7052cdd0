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
    """The rows of one item, which land together or not at all; ``index`` places it in the load."""

    index: int
    rows: Sequence[Row]


class RowRun(msgspec.Struct, frozen=True):
    """Rows one after the other that give the same columns in the same order."""

    columns: tuple[str, ...]
    rows: Sequence[Row]


def dict_rows(items: Sequence[LoadItem], pending: Sequence[int]) -> list[Row] | None:
    """Return all the rows of the pending items when every result of them is a dict."""
    chosen = items if len(pending) == len(items) else [items[index] for index in pending]
    rows = [result for item in chosen for result in item.results]
    return cast("list[Row]", rows) if set(map(type, rows)) <= {dict} else None


def item_rows(
    items: Sequence[LoadItem], pending: Sequence[int]
) -> tuple[list[ItemRows], dict[int, Rejected]]:
    """Return the rows of each pending item, and why items have none."""
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
    """Return a row for each result of an item: a dict, or the data of an event when it is one."""
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
    """Return rows as runs, in order."""
    for columns, group in groupby(rows, key=tuple):
        yield RowRun(columns, list(group))


def all_rows(batch: Iterable[ItemRows]) -> Iterator[Row]:
    """Return the rows of many items, in order."""
    return (row for rows in batch for row in rows.rows)


def has_null_key(rows: Sequence[Row], key: Sequence[str]) -> bool:
    """Say whether a key column is null in any of the rows, all of which have it."""
    return any(None in map(itemgetter(name), rows) for name in key)


def plain_value(value: object) -> object:
    """Return the value of a member of an enum, and that of a subclass of a plain type."""
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
    """Say whether a float, as it is written, has all the digits of a number."""
    try:
        found = float(value)
    except OverflowError:
        return False
    return isfinite(found) and Decimal(repr(found)) == value


def shown_value(value: object, most: int = 60) -> str:
    """Return a value as a reason shows it: at most 60 characters."""
    try:
        text = repr(value[:most] if isinstance(value, str | bytes) else value)
    except Exception:
        text = f"<{type(value).__name__}>"
    if len(text) <= most and not (isinstance(value, str | bytes) and len(value) > most):
        return text
    return text[: most - 3] + "..."


def shown_first_row(rows: Sequence[Row]) -> str:
    """Return the first row of an item as a reason shows it."""
    return shown_value(rows[0], 120)
