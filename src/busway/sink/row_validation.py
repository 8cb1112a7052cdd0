"""Validation of rows against the columns of a table before they are written."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import cast

import msgspec

from busway.outcome import NotAttempted, Rejected, Retry
from busway.sink.row import ItemRows, Row, has_null_key, shown_value

ColumnNames = tuple[str, ...]
ItemProblems = dict[int, Rejected | Retry | NotAttempted]


class ColumnNaming(msgspec.Struct, frozen=True):
    """The rules of a database for column names.

    Names are equal when they ``fold`` to the same text. Those in ``reserved`` are the database's
    own; ``max_bytes`` is in bytes of UTF-8.
    """

    database: str
    fold: Callable[[str], str] = str
    max_bytes: int | None = None
    reserved: frozenset[str] = frozenset()

    def name_problem(self, name: object) -> str | None:
        """Return why a name is not a valid column name of any table."""
        if not isinstance(name, str) or not name or "\0" in name:
            return "is not a non-empty string"
        try:
            size = len(name.encode())
        except UnicodeEncodeError:
            return "has half a surrogate pair, which is not text"
        if self.max_bytes is not None and size > self.max_bytes:
            return f"has {size} bytes; {self.database} allows {self.max_bytes} for a name"
        if name in self.reserved:
            return f"is the name of a system column of {self.database}"
        return None


class RowFlaw(msgspec.Struct, frozen=True):
    """A flaw of a row; ``column`` is the column that causes it."""

    error: str
    reason: str
    column: object = None

    def rejection(self, row: Row) -> Rejected:
        """Return the rejection, with the value of the row in that column."""
        if self.column not in row:
            return Rejected(self.error, self.reason)
        return Rejected(self.error, f"{self.reason}; {describe_value(row[self.column])}")


def describe_value(value: object) -> str:
    """Return a value and its type for an error text."""
    return f"its value is {shown_value(value)} ({type(value).__name__})"


class TableRules(msgspec.Struct, frozen=True):
    """The rules of one table: its name, its key and the names of its columns.

    ``create``: columns are created from values, so that null needs no column.
    """

    table: str
    key: Sequence[str]
    create: bool
    naming: ColumnNaming

    @property
    def fold(self) -> Callable[[str], str]:
        return self.naming.fold

    def are_all_valid(self, rows: Sequence[Row], columns: Collection[str]) -> bool:
        """Say whether all rows are valid; ``columns`` are folded names."""
        for shape in set(map(tuple, rows)):
            if self._columns_flaw(shape) or any(self.fold(name) not in columns for name in shape):
                return False
        return not has_null_key(rows, self.key)

    def invalid_items(
        self, batch: Sequence[ItemRows], generated: Mapping[str, str]
    ) -> ItemProblems:
        """Return the items with rows that are invalid for any table or have no key.

        ``generated`` maps folded column names to the reason why no row may set them.
        """
        shapes: dict[ColumnNames, RowFlaw | None] = {}
        problems: ItemProblems = {}
        for index, shape, row in _each_row(batch):
            if shape not in shapes:
                shapes[shape] = self._columns_flaw(shape) or self._generated_flaw(shape, generated)
            flaw = shapes[shape] or self._null_key_flaw(row)
            if flaw:
                problems[index] = flaw.rejection(row)
        return problems

    def values_without_column(
        self, batch: Sequence[ItemRows], columns: Collection[str]
    ) -> Iterator[tuple[str, object]]:
        """Return the values, except null, that have no column yet."""
        missing: dict[ColumnNames, list[str]] = {}
        for _, shape, row in _each_row(batch):
            if shape not in missing:
                missing[shape] = [name for name in shape if self.fold(name) not in columns]
            for name in missing[shape]:
                if row[name] is not None:
                    yield name, row[name]

    def items_without_column(
        self, batch: Sequence[ItemRows], columns: Collection[str]
    ) -> ItemProblems:
        """Return the items with values that have no column."""
        problems: ItemProblems = {}
        shapes: dict[ColumnNames, str | None] = {}
        for index, shape, row in _each_row(batch):
            if shape not in shapes:
                shapes[shape] = self._unknown_column(shape, columns)
            if unknown := shapes[shape]:
                problems[index] = self._unknown_column_flaw(unknown).rejection(row)
        return problems

    def _columns_flaw(self, shape: tuple[object, ...]) -> RowFlaw | None:
        if not shape:
            return RowFlaw(
                "empty row", "the row has no columns; return None to filter an event out"
            )
        for name in shape:
            if problem := self.naming.name_problem(name):
                return RowFlaw(
                    "column name", f"the column name {shown_value(name)} {problem}", name
                )
        folded: dict[str, str] = {}
        for name in cast("ColumnNames", shape):
            other = folded.setdefault(self.fold(name), name)
            if other is not name:
                reason = f"the columns {other!r} and {name!r} differ only in their case"
                return RowFlaw("column name", reason, name)
        for name in self.key:
            if name not in shape:
                return RowFlaw("no key", f"the row has no {name!r}, which is the key of the table")
        return None

    def _generated_flaw(self, shape: ColumnNames, generated: Mapping[str, str]) -> RowFlaw | None:
        for name in shape:
            if why := generated.get(self.fold(name)):
                reason = f"column {name!r} of the table {self.table!r} {why}; leave it out"
                return RowFlaw("column is generated", reason, name)
        return None

    def _null_key_flaw(self, row: Row) -> RowFlaw | None:
        for name in self.key:
            if row[name] is None:
                return RowFlaw("no key", f"the key column {name!r} is null; give every row a key")
        return None

    def _unknown_column(self, shape: ColumnNames, columns: Collection[str]) -> str | None:
        unknown = [name for name in shape if self.fold(name) not in columns]
        if not unknown or (self.create and len(unknown) < len(shape)):
            return None
        return unknown[0]

    def _unknown_column_flaw(self, name: str) -> RowFlaw:
        if self.create:
            return RowFlaw("empty row", "every value is null, so that no column has a type yet")
        return RowFlaw(
            "unknown column",
            f"the table {self.table!r} has no column {name!r};"
            " add it to the table, leave it out of the row, or set create=True",
        )


def without_problems(batch: Sequence[ItemRows], problems: ItemProblems) -> list[ItemRows]:
    """Return the items that have no problem."""
    return [rows for rows in batch if rows.index not in problems]


def _each_row(batch: Sequence[ItemRows]) -> Iterator[tuple[int, ColumnNames, Row]]:
    return ((rows.index, tuple(row), row) for rows in batch for row in rows.rows)
