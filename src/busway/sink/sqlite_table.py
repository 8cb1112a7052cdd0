"""One table of a SQLite database, written to inside somebody else's transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import apsw

from busway.outcome import Rejected
from busway.sink.row import Row, Rows, flat, runs, shown
from busway.sink.shape import Problems, Shapes, without
from busway.sink.sqlite_value import INT64, column_type, tuples
from busway.sink.statement import listed, quoted, statement

_DATA_ERRORS = (
    apsw.ConstraintError,
    apsw.MismatchError,
    apsw.TooBigError,
    OverflowError,
    ValueError,
    TypeError,
)


class NoTable(Exception):
    """The table is not there, and the sink was not asked to create it."""


class SqliteTable:
    """Lands rows; a key makes them upserts, ``create`` grows the table to what they hold."""

    def __init__(self, shapes: Shapes, types: Mapping[str, str]) -> None:
        self.name = shapes.table
        self.key = shapes.key
        self._shapes = shapes
        self._types = types
        self._columns: dict[str, str] = {}
        self._inserts: dict[tuple[str, ...], str] = {}

    def land_whole(self, connection: apsw.Connection, rows: Sequence[Row]) -> bool:
        """Write rows that are all in order, or none and say so: then :meth:`land` finds out why."""
        self._read_columns(connection)
        return self._shapes.fit(rows, self._columns) and self._try(connection, rows) is None

    def land(self, connection: apsw.Connection, batch: Sequence[Rows]) -> Problems:
        """Write the rows of each item, all or none, in order; return why items are not in it.

        Raises :class:`NoTable`, and :class:`apsw.Error` for what concerns the whole database.
        """
        self._read_columns(connection)
        problems = self._shapes.unfit(batch)
        fit = without(batch, problems)
        if self._shapes.create:
            self._grow(connection, fit)
        elif not self._columns:
            raise NoTable(f"the table {self.name!r} does not exist; create it or set create=True")
        problems |= self._shapes.unknown(fit, self._columns)
        return problems | self._write(connection, without(fit, problems))

    def _read_columns(self, connection: apsw.Connection) -> None:
        """Look again each time: other programs may change the table between two transactions."""
        rows = connection.execute(statement("sqlite", "columns"), (self.name,))
        columns = {name.lower(): name for (name,) in rows}
        if columns != self._columns:
            self._columns = columns
            self._inserts.clear()

    def _grow(self, connection: apsw.Connection, batch: Sequence[Rows]) -> None:
        """Create the table, or add the columns that it lacks, with types from their values."""
        new: dict[str, str] = {}
        for name, value in self._shapes.unheard(batch, self._columns):
            if name.lower() not in map(str.lower, new):
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

    def _write(self, connection: apsw.Connection, batch: Sequence[Rows]) -> Problems:
        """Write a batch as one; where a row in it is bad, halve the batch to find it."""
        if not batch:
            return {}
        error = self._try(connection, flat(batch))
        if error is None:
            return {}
        if len(batch) == 1:
            return {batch[0].index: _fault(error, batch[0].rows)}
        middle = len(batch) // 2
        return self._write(connection, batch[:middle]) | self._write(connection, batch[middle:])

    def _try(self, connection: apsw.Connection, rows: Iterable[Row]) -> Exception | None:
        connection.execute("SAVEPOINT busway")
        try:
            for run in runs(rows):
                columns = tuple(name for name in run.columns if name.lower() in self._columns)
                connection.executemany(self._insert(columns), tuples(run, columns))
        except _DATA_ERRORS as error:
            connection.execute("ROLLBACK TO busway")
            connection.execute("RELEASE busway")
            return error
        connection.execute("RELEASE busway")
        return None

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
