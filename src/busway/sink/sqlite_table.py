"""One table of a SQLite database, written to inside somebody else's transaction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import apsw

from busway.outcome import Rejected
from busway.sink.row import Row, Rows, Run, flat, key_problem, lacks_key, runs, shape_problem, shown
from busway.sink.sqlite_value import INT64, column_type, tuples
from busway.sink.statement import listed, quoted, statement

Problems = dict[int, Rejected]
_DATA_ERRORS = (
    apsw.ConstraintError,
    apsw.MismatchError,
    apsw.TooBigError,
    OverflowError,
    UnicodeEncodeError,
    TypeError,
)


class NoTable(Exception):
    """The table is not there, and the sink was not asked to create it."""


class SqliteTable:
    """Lands rows; ``key`` makes them upserts, ``create`` grows the table to what they hold."""

    def __init__(
        self, name: str, key: Sequence[str], create: bool, types: Mapping[str, str]
    ) -> None:
        self.name = name
        self.key = key
        self.create = create
        self._types = types
        self._columns: dict[str, str] = {}
        self._inserts: dict[tuple[str, ...], str] = {}

    def land_whole(self, connection: apsw.Connection, rows: Sequence[Row]) -> bool:
        """Write rows that are all in order, or none and say so: then :meth:`land` finds out why."""
        self._read_columns(connection)
        found = list(runs(rows))
        if not all(self._fits(columns) for columns in {run.columns for run in found}):
            return False
        if lacks_key(rows, self.key):
            return False
        return self._try(connection, found) is None

    def land(self, connection: apsw.Connection, batch: Sequence[Rows]) -> Problems:
        """Write the rows of each item, all or none, in order; return why items are not in it.

        Raises :class:`NoTable`, and :class:`apsw.Error` for what concerns the whole database.
        """
        self._read_columns(connection)
        problems = self._unfit(batch)
        fit = [rows for rows in batch if rows.index not in problems]
        if self.create:
            self._grow(connection, fit)
        elif not self._columns:
            raise NoTable(f"the table {self.name!r} does not exist; create it or set create=True")
        problems.update(self._unknown(fit))
        fit = [rows for rows in fit if rows.index not in problems]
        problems.update(self._write(connection, fit))
        return problems

    def _read_columns(self, connection: apsw.Connection) -> None:
        """Look again each time: other programs may change the table between two transactions."""
        rows = connection.execute(statement("sqlite", "columns"), (self.name,))
        columns = {name.lower(): name for (name,) in rows}
        if columns != self._columns:
            self._columns = columns
            self._inserts.clear()

    def _unfit(self, batch: Sequence[Rows]) -> Problems:
        shapes: dict[tuple[str, ...], Rejected | None] = {}
        problems: Problems = {}
        for rows in batch:
            for row in rows.rows:
                shape = tuple(row)
                if shape not in shapes:
                    shapes[shape] = shape_problem(shape, self.key) or _twice(shape)
                problem = shapes[shape] or (self.key and key_problem(row, self.key))
                if problem:
                    problems[rows.index] = problem
        return problems

    def _grow(self, connection: apsw.Connection, batch: Sequence[Rows]) -> None:
        """Create the table, or add the columns that it lacks, with types from their values."""
        new: dict[str, str] = {}
        for name, value in self._unheard(batch):
            if value is not None and name.lower() not in map(str.lower, new):
                new[name] = self._types.get(name) or column_type(value)
        if not new:
            return
        definitions = [f"{quoted(name)} {kind}" for name, kind in new.items()]
        if self._columns:
            for definition in definitions:
                self._execute(connection, "column_add", definition=definition)
        else:
            if self.key:
                definitions.append(f"PRIMARY KEY ({listed(self.key)})")
            self._execute(connection, "table_create", definitions=", ".join(definitions))
        self._read_columns(connection)

    def _unheard(self, batch: Sequence[Rows]) -> Iterator[tuple[str, object]]:
        missing: dict[tuple[str, ...], list[str]] = {}
        for rows in batch:
            for row in rows.rows:
                shape = tuple(row)
                if shape not in missing:
                    missing[shape] = [name for name in shape if name.lower() not in self._columns]
                for name in missing[shape]:
                    yield name, row[name]

    def _unknown(self, batch: Sequence[Rows]) -> Problems:
        """Reject what has no column; a null needs none where columns come from values."""
        problems: Problems = {}
        shapes: dict[tuple[str, ...], str | None] = {}
        for rows in batch:
            for row in rows.rows:
                shape = tuple(row)
                if shape not in shapes:
                    shapes[shape] = self._stray(shape)
                if stray := shapes[shape]:
                    problems[rows.index] = self._no_column(stray)
        return problems

    def _stray(self, shape: tuple[str, ...]) -> str | None:
        unknown = [name for name in shape if name.lower() not in self._columns]
        if not self.create:
            return unknown[0] if unknown else None
        return unknown[0] if len(unknown) == len(shape) else None

    def _no_column(self, name: str) -> Rejected:
        if self.create:
            return Rejected("empty row", "every value is null, so that no column has a type yet")
        return Rejected(
            "unknown column",
            f"the table {self.name!r} has no column {name!r};"
            " add it to the table, leave it out of the row, or set create=True",
        )

    def _write(self, connection: apsw.Connection, batch: Sequence[Rows]) -> Problems:
        """Write a batch as one; where a row in it is bad, halve the batch to find it."""
        if not batch:
            return {}
        error = self._try(connection, runs(flat(batch)))
        if error is None:
            return {}
        if len(batch) == 1:
            return {batch[0].index: _fault(error, batch[0].rows)}
        middle = len(batch) // 2
        return self._write(connection, batch[:middle]) | self._write(connection, batch[middle:])

    def _try(self, connection: apsw.Connection, found: Iterable[Run]) -> Exception | None:
        connection.execute("SAVEPOINT busway")
        try:
            for run in found:
                columns = tuple(name for name in run.columns if name.lower() in self._columns)
                connection.executemany(self._insert(columns), tuples(run, columns))
        except _DATA_ERRORS as error:
            connection.execute("ROLLBACK TO busway")
            connection.execute("RELEASE busway")
            return error
        connection.execute("RELEASE busway")
        return None

    def _fits(self, shape: tuple[str, ...]) -> bool:
        if shape_problem(shape, self.key) or _twice(shape):
            return False
        return all(name.lower() in self._columns for name in shape)

    def _insert(self, columns: tuple[str, ...]) -> str:
        if columns not in self._inserts:
            self._inserts[columns] = self._insert_sql(columns)
        return self._inserts[columns]

    def _insert_sql(self, columns: tuple[str, ...]) -> str:
        key = [name.lower() for name in self.key]
        others = [quoted(name) for name in columns if name.lower() not in key]
        name = "insert" if not key else "upsert" if others else "upsert_key_only"
        return statement("sqlite", name).format(
            table=quoted(self.name),
            columns=listed(columns),
            values=", ".join("?" * len(columns)),
            key=listed(self.key),
            changes=", ".join(f"{name} = excluded.{name}" for name in others),
        )

    def _execute(self, connection: apsw.Connection, name: str, **parts: str) -> None:
        connection.execute(statement("sqlite", name).format(table=quoted(self.name), **parts))


def _twice(shape: tuple[str, ...]) -> Rejected | None:
    if len({name.lower() for name in shape}) == len(shape):
        return None
    return Rejected("column name", f"two of the columns {shape} differ only in their case")


def _fault(error: Exception, rows: Sequence[Row]) -> Rejected:
    if isinstance(error, OverflowError):
        for row in rows:
            for name, value in row.items():
                if isinstance(value, int) and value not in INT64:
                    return Rejected(
                        "out of range",
                        f"column {name!r}: {shown(value)} does not fit 64 bits; give it as a str",
                    )
    return Rejected(type(error).__name__, str(error))
