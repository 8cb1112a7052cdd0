"""Results as rows of a table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import cast

import msgspec

from busway.errors import EventError
from busway.event import Event
from busway.outcome import Rejected
from busway.ports import Item

Row = dict[str, object]


class Rows(msgspec.Struct, frozen=True):
    """The rows of one item, which land together or not at all; ``index`` places it in the load."""

    index: int
    rows: Sequence[Row]


class Run(msgspec.Struct, frozen=True):
    """Rows one after the other that give the same columns in the same order."""

    columns: tuple[str, ...]
    rows: Sequence[Row]


def plain_rows(items: Sequence[Item], pending: Sequence[int]) -> list[Row] | None:
    """Return all the rows of the pending items when every result of them is a dict."""
    chosen = items if len(pending) == len(items) else [items[index] for index in pending]
    rows = [result for item in chosen for result in item.results]
    return cast("list[Row]", rows) if set(map(type, rows)) <= {dict} else None


def item_rows(
    items: Sequence[Item], pending: Sequence[int]
) -> tuple[list[Rows], dict[int, Rejected]]:
    """Return the rows of each pending item, and why items have none."""
    batch: list[Rows] = []
    problems: dict[int, Rejected] = {}
    for index in pending:
        rows = rows_of(items[index])
        if isinstance(rows, Rejected):
            problems[index] = rows
        elif rows:
            batch.append(Rows(index, rows))
    return batch, problems


def rows_of(item: Item) -> list[Row] | Rejected:
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


def runs(rows: Iterable[Row]) -> Iterator[Run]:
    """Return rows as runs, in order."""
    for columns, group in groupby(rows, key=tuple):
        yield Run(columns, list(group))


def flat(batch: Iterable[Rows]) -> Iterator[Row]:
    """Return the rows of many items, in order."""
    return (row for rows in batch for row in rows.rows)


def lacks_key(rows: Sequence[Row], key: Sequence[str]) -> bool:
    """Say whether a key column is null in any of the rows, all of which have it."""
    return any(None in map(itemgetter(name), rows) for name in key)


def shape_problem(columns: tuple[object, ...], key: Sequence[str]) -> Rejected | None:
    """Return why rows with these columns can never be rows of a table with that key."""
    if not columns:
        return Rejected("empty row", "the row has no columns; return None to filter an event out")
    for name in columns:
        if not isinstance(name, str) or not name or "\0" in name:
            return Rejected("column name", f"the column name {name!r} is not a non-empty string")
    for name in key:
        if name not in columns:
            return Rejected("no key", f"the row has no {name!r}, which is the key of the table")
    return None


def key_problem(row: Mapping[str, object], key: Sequence[str]) -> Rejected | None:
    """Return why a row cannot be told from others by its key."""
    for name in key:
        if row[name] is None:
            return Rejected("no key", f"the key column {name!r} is null; give every row a key")
    return None


def shown(value: object) -> str:
    """Return a value as a reason shows it: at most 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
