"""What is wrong with rows before they are written: their columns against those of a table."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence

import msgspec

from busway.outcome import Rejected
from busway.sink.row import Row, Rows, key_problem, lacks_key, shape_problem

Columns = tuple[str, ...]
Problems = dict[int, Rejected]


class Shapes(msgspec.Struct, frozen=True):
    """The rules of one table: its name, its key, and how names of columns are compared.

    ``create`` says that columns come from values, so that a null needs none.
    """

    table: str
    key: Sequence[str]
    create: bool
    fold: Callable[[str], str] = str

    def fit(self, rows: Sequence[Row], columns: Collection[str]) -> bool:
        """Say whether nothing is wrong with any of the rows; ``columns`` are folded names."""
        for shape in set(map(tuple, rows)):
            if self._problem(shape) or any(self.fold(name) not in columns for name in shape):
                return False
        return not lacks_key(rows, self.key)

    def unfit(self, batch: Sequence[Rows]) -> Problems:
        """Return the items with rows that no table takes, or that have no key."""
        shapes: dict[Columns, Rejected | None] = {}
        problems: Problems = {}
        for index, shape, row in _every(batch):
            if shape not in shapes:
                shapes[shape] = self._problem(shape)
            problem = shapes[shape] or (self.key and key_problem(row, self.key))
            if problem:
                problems[index] = problem
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
        for index, shape, _ in _every(batch):
            if shape not in shapes:
                shapes[shape] = self._stray(shape, columns)
            if stray := shapes[shape]:
                problems[index] = self._no_column(stray)
        return problems

    def _problem(self, shape: Columns) -> Rejected | None:
        problem = shape_problem(shape, self.key)
        if problem is None and len({self.fold(name) for name in shape}) < len(shape):
            return Rejected("column name", f"two of the columns {shape} differ only in their case")
        return problem

    def _stray(self, shape: Columns, columns: Collection[str]) -> str | None:
        unknown = [name for name in shape if self.fold(name) not in columns]
        if not unknown or (self.create and len(unknown) < len(shape)):
            return None
        return unknown[0]

    def _no_column(self, name: str) -> Rejected:
        if self.create:
            return Rejected("empty row", "every value is null, so that no column has a type yet")
        return Rejected(
            "unknown column",
            f"the table {self.table!r} has no column {name!r};"
            " add it to the table, leave it out of the row, or set create=True",
        )


def without(batch: Sequence[Rows], problems: Problems) -> list[Rows]:
    """Return the items that have no problem."""
    return [rows for rows in batch if rows.index not in problems]


def _every(batch: Sequence[Rows]) -> Iterator[tuple[int, Columns, Row]]:
    return ((rows.index, tuple(row), row) for rows in batch for row in rows.rows)
