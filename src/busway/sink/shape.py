"""What is wrong with rows before they are written: their columns against those of a table."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import cast

import msgspec

from busway.outcome import Rejected, Retry, Untried
from busway.sink.row import Row, Rows, lacks_key, shown

Columns = tuple[str, ...]
Problems = dict[int, Rejected | Retry | Untried]


class Naming(msgspec.Struct, frozen=True):
    """Which names a database takes for columns.

    Names are equal when they ``fold`` to the same text. Those in ``reserved`` are the database's
    own; ``longest`` is in bytes of UTF-8.
    """

    database: str
    fold: Callable[[str], str] = str
    longest: int | None = None
    reserved: frozenset[str] = frozenset()

    def problem(self, name: object) -> str | None:
        """Return why a name cannot be one of a column, whatever the table."""
        if not isinstance(name, str) or not name or "\0" in name:
            return "is not a non-empty string"
        try:
            size = len(name.encode())
        except UnicodeEncodeError:
            return "has half a surrogate pair, which is not text"
        if self.longest is not None and size > self.longest:
            return f"has {size} bytes; {self.database} takes {self.longest} for a name"
        if name in self.reserved:
            return f"is the name of a system column of {self.database}"
        return None


class Flaw(msgspec.Struct, frozen=True):
    """What is wrong with a row because of its columns; ``column`` is the one to blame."""

    error: str
    reason: str
    column: object = None

    def of(self, row: Row) -> Rejected:
        """Return it with the value that the row has in that column."""
        if self.column not in row:
            return Rejected(self.error, self.reason)
        return Rejected(self.error, f"{self.reason}; {valued(row[self.column])}")


def valued(value: object) -> str:
    """Return the part of a reason that names a value and its type."""
    return f"its value is {shown(value)} ({type(value).__name__})"


class Shapes(msgspec.Struct, frozen=True):
    """The rules of one table: its name, its key, and which names its columns may have.

    ``create`` says that columns come from values, so that a null needs none.
    """

    table: str
    key: Sequence[str]
    create: bool
    naming: Naming

    @property
    def fold(self) -> Callable[[str], str]:
        return self.naming.fold

    def fit(self, rows: Sequence[Row], columns: Collection[str]) -> bool:
        """Say whether nothing is wrong with any of the rows; ``columns`` are folded names."""
        for shape in set(map(tuple, rows)):
            if self._flaw(shape) or any(self.fold(name) not in columns for name in shape):
                return False
        return not lacks_key(rows, self.key)

    def unfit(self, batch: Sequence[Rows], filled: Mapping[str, str]) -> Problems:
        """Return the items with rows that no table takes, or that have no key.

        ``filled`` says of columns (folded) why no row may give them a value.
        """
        shapes: dict[Columns, Flaw | None] = {}
        problems: Problems = {}
        for index, shape, row in _every(batch):
            if shape not in shapes:
                shapes[shape] = self._flaw(shape) or self._filled(shape, filled)
            flaw = shapes[shape] or self._no_key(row)
            if flaw:
                problems[index] = flaw.of(row)
        return problems

    def unheard(
        self, batch: Sequence[Rows], columns: Collection[str]
    ) -> Iterator[tuple[str, object]]:
        """Return the values that have no column yet, and are not null."""
        missing: dict[Columns, list[str]] = {}
        for _, shape, row in _every(batch):
            if shape not in missing:
                missing[shape] = [name for name in shape if self.fold(name) not in columns]
            for name in missing[shape]:
                if row[name] is not None:
                    yield name, row[name]

    def unknown(self, batch: Sequence[Rows], columns: Collection[str]) -> Problems:
        """Return the items with values that have no column."""
        problems: Problems = {}
        shapes: dict[Columns, str | None] = {}
        for index, shape, row in _every(batch):
            if shape not in shapes:
                shapes[shape] = self._stray(shape, columns)
            if stray := shapes[shape]:
                problems[index] = self._no_column(stray).of(row)
        return problems

    def _flaw(self, shape: tuple[object, ...]) -> Flaw | None:
        if not shape:
            return Flaw("empty row", "the row has no columns; return None to filter an event out")
        for name in shape:
            if problem := self.naming.problem(name):
                return Flaw("column name", f"the column name {shown(name)} {problem}", name)
        folded: dict[str, str] = {}
        for name in cast("Columns", shape):
            other = folded.setdefault(self.fold(name), name)
            if other is not name:
                reason = f"the columns {other!r} and {name!r} differ only in their case"
                return Flaw("column name", reason, name)
        for name in self.key:
            if name not in shape:
                return Flaw("no key", f"the row has no {name!r}, which is the key of the table")
        return None

    def _filled(self, shape: Columns, filled: Mapping[str, str]) -> Flaw | None:
        for name in shape:
            if why := filled.get(self.fold(name)):
                reason = f"column {name!r} of the table {self.table!r} {why}; leave it out"
                return Flaw("column is generated", reason, name)
        return None

    def _no_key(self, row: Row) -> Flaw | None:
        for name in self.key:
            if row[name] is None:
                return Flaw("no key", f"the key column {name!r} is null; give every row a key")
        return None

    def _stray(self, shape: Columns, columns: Collection[str]) -> str | None:
        unknown = [name for name in shape if self.fold(name) not in columns]
        if not unknown or (self.create and len(unknown) < len(shape)):
            return None
        return unknown[0]

    def _no_column(self, name: str) -> Flaw:
        if self.create:
            return Flaw("empty row", "every value is null, so that no column has a type yet")
        return Flaw(
            "unknown column",
            f"the table {self.table!r} has no column {name!r};"
            " add it to the table, leave it out of the row, or set create=True",
        )


def without(batch: Sequence[Rows], problems: Problems) -> list[Rows]:
    """Return the items that have no problem."""
    return [rows for rows in batch if rows.index not in problems]


def _every(batch: Sequence[Rows]) -> Iterator[tuple[int, Columns, Row]]:
    return ((rows.index, tuple(row), row) for rows in batch for row in rows.rows)
