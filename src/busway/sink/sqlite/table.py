"""One table of a SQLite database, written inside the transaction of the caller."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import apsw

from busway.outcome import Rejected
from busway.sink.bisect import (
    Bisection,
    ErrorScope,
    PartKey,
    RowDropped,
    TableSetupError,
    classify_refusals,
)
from busway.sink.row import ItemRows, Row, all_rows, row_runs
from busway.sink.row_validation import ItemProblems, TableRules, without_problems
from busway.sink.sqlite.error import (
    RolledBack,
    error_scope,
    row_refusal,
)
from busway.sink.sqlite.value import (
    SqliteColumn,
    SqliteValueError,
    affinity,
    column_type,
    stored_rows,
)
from busway.sink.statement import quote_identifier, quote_identifiers, statement

MAX_WRITE_S = 60.0
"""Time limit for the rows of a load, as a trigger may never end."""
_GENERATED = {2: "is generated", 3: "is generated"}


SqliteRowChunk = tuple[tuple[str, ...], Sequence[Sequence[object]]]
"""Names of columns, and rows of their values."""


class SqliteTable:
    """Writes rows; a key makes them upserts, ``create`` creates the table and adds columns."""

    def __init__(self, rules: TableRules, types: Mapping[str, str]) -> None:
        self.name = rules.table
        self.key = rules.key
        self._rules = rules
        self._fold = rules.fold
        self._types = types
        self._columns: dict[str, SqliteColumn] = {}
        self._generated: dict[str, str] = {}
        self._inserts: dict[tuple[str, ...], str] = {}
        self._has_triggers = self._is_table = False

    def write_all(self, connection: apsw.Connection, rows: Sequence[Row]) -> bool:
        """Write all rows, or none and return false: then :meth:`write_valid` finds out why.

        Raises :class:`RolledBack` if SQLite rolled back the transaction.
        """
        self._read_columns(connection)
        connection.execute("SAVEPOINT busway")
        try:
            with _time_limit(connection):
                are_valid = self._rules.are_all_valid(rows, self._columns)
                for names, values in self._chunks(rows) if are_valid else ():
                    self._insert_all(connection, names, values)
        except Exception as error:
            _rollback_to_savepoint(connection, error)
            return False
        connection.execute("RELEASE busway")
        return are_valid

    def write_valid(
        self,
        connection: apsw.Connection,
        batch: Sequence[ItemRows],
        failed: dict[PartKey, Exception],
    ) -> ItemProblems:
        """Write the rows of each item in order, all or none; return why items were not written.

        ``failed`` are the parts that failed before :class:`RolledBack`, which is raised if SQLite
        rolled back the transaction. Raises an error that concerns the whole database.
        """
        self._read_columns(connection)
        if not self._columns and not self._rules.create:
            raise TableSetupError(
                f"the table {self.name!r} does not exist; create it or set create=True"
            )
        problems = self._rules.invalid_items(batch, self._generated)
        valid = without_problems(batch, problems)
        search = Bisection(valid, failed)
        for part in search:
            try:
                with _time_limit(connection):
                    problems |= self._write_part(connection, part)
            except Exception as error:
                self._roll_back_part(connection, search, part, error)
        rows_by_index = {rows.index: rows.rows for rows in valid}
        refusals = {
            span[0]: row_refusal(error, rows_by_index[span[0]])
            for span, error in search.failed.items()
            if span[2] == 1
        }
        others_written = len(problems) + len(refusals) < len(batch)
        return problems | classify_refusals(
            refusals, others_written=others_written, probe_succeeded=True
        )

    def _roll_back_part(
        self,
        connection: apsw.Connection,
        search: Bisection,
        part: Sequence[ItemRows],
        error: Exception,
    ) -> None:
        """Roll back a part and search it, or raise the error if it concerns the whole database."""
        search.mark_failed(part, error)
        _rollback_to_savepoint(connection, error)
        self._read_columns(connection)
        if error_scope(error) is ErrorScope.DESTINATION:
            raise error
        if error_scope(error) is ErrorScope.UNKNOWN:
            self._check_writable(connection)

    def _write_part(self, connection: apsw.Connection, part: Sequence[ItemRows]) -> ItemProblems:
        connection.execute("SAVEPOINT busway")
        if self._rules.create:
            self._extend_table(connection, part)
        problems = self._rules.items_without_column(part, self._columns)
        chunks, unsuitable = self._convertible(without_problems(part, problems))
        for names, values in chunks:
            self._insert_all(connection, names, values)
        connection.execute("RELEASE busway")
        return problems | unsuitable

    def _check_writable(self, connection: apsw.Connection) -> None:
        """Raise an error if no row can be written at all."""
        columns = [name for name in self.key if self._fold(name) in self._columns]
        if self._columns and len(columns) == len(self.key):
            first = columns or [next(iter(self._columns.values())).name]
            connection.execute(
                f"EXPLAIN {self._insert_statement(tuple(first))}", [None] * len(first)
            )

    def _read_columns(self, connection: apsw.Connection) -> None:
        """Read the columns, which other programs may change between two transactions."""
        columns_read = list(connection.execute(statement("sqlite", "columns"), (self.name,)))
        columns = {
            self._fold(name): SqliteColumn(name, declared, affinity(declared, strict=bool(strict)))
            for name, declared, hidden, strict, _ in columns_read
            if hidden not in _GENERATED
        }
        if columns != self._columns:
            self._columns = columns
            self._inserts.clear()
        self._generated = {
            self._fold(name): _GENERATED[hidden]
            for name, _, hidden, *_ in columns_read
            if hidden in _GENERATED
        }
        self._is_table = any(kind == "table" for *_, kind in columns_read)
        triggers = connection.execute(statement("sqlite", "triggers"), (self.name,)).get
        self._has_triggers = bool(triggers)

    def _extend_table(self, connection: apsw.Connection, batch: Sequence[ItemRows]) -> None:
        """Create the table or add missing columns, with types from their values."""
        new: dict[str, tuple[str, str]] = {}
        for name, value in self._rules.values_without_column(batch, self._columns):
            if self._fold(name) not in new:
                new[self._fold(name)] = name, self._types.get(name) or column_type(value)
        if not new:
            return
        count, limit = len(self._columns) + len(new), connection.limit(apsw.SQLITE_LIMIT_COLUMN)
        if count > limit:
            name = [name for name, _ in new.values()][-1]
            reason = f"with column {name!r} the table would have {count}; SQLite takes {limit}"
            raise SqliteValueError(reason, "too many columns")
        definitions = [f"{quote_identifier(name)} {kind}" for name, kind in new.values()]
        if self._columns:
            for definition in definitions:
                self._execute(connection, "column_add", definition=definition)
        else:
            if self.key:
                definitions.append(f"PRIMARY KEY ({quote_identifiers(self.key)})")
            self._execute(connection, "table_create", definitions=", ".join(definitions))
        self._read_columns(connection)

    def _convertible(self, batch: Sequence[ItemRows]) -> tuple[list[SqliteRowChunk], ItemProblems]:
        """Return the chunks to write, and the items whose values the columns would change."""
        try:
            return self._chunks(all_rows(batch)), {}
        except SqliteValueError:
            pass
        problems: ItemProblems = {}
        for rows in batch:
            try:
                self._chunks(rows.rows)
            except SqliteValueError as error:
                problems[rows.index] = Rejected(error.error, str(error))
        return self._chunks(all_rows(without_problems(batch, problems))), problems

    def _chunks(self, rows: Iterable[Row]) -> list[SqliteRowChunk]:
        chunks: list[SqliteRowChunk] = []
        for run in row_runs(rows):
            names = tuple(name for name in run.columns if self._fold(name) in self._columns)
            columns = [self._columns[self._fold(name)] for name in names]
            chunks.append((names, stored_rows(run, columns, names)))
        return chunks

    def _insert_all(
        self,
        connection: apsw.Connection,
        names: tuple[str, ...],
        values: Sequence[Sequence[object]],
    ) -> None:
        """Write rows of the same columns. Raises :class:`RowDropped` if the table lacks one then.

        The total count includes the changes of triggers, so that with triggers each row is
        counted on its own.
        """
        sql = self._insert_statement(names)
        suspects: Sequence[Sequence[object]]
        if self._has_triggers:
            suspects = [row for row in values if not _count_changes(connection, sql, row)]
        else:
            before = connection.total_changes()
            connection.executemany(sql, values)
            suspects = values if connection.total_changes() - before < len(values) else ()
        if self._is_table and not all(self._exists(connection, names, row) for row in suspects):
            raise RowDropped("a trigger, or a constraint with ON CONFLICT IGNORE, left it out")

    def _exists(
        self, connection: apsw.Connection, names: tuple[str, ...], row: Sequence[object]
    ) -> bool:
        """Say whether a row is in the table, as it is."""
        sql = statement("sqlite", "row_exists").format(
            table=quote_identifier(self.name),
            conditions=" AND ".join(f"{quote_identifier(name)} IS ?" for name in names),
        )
        return bool(connection.execute(sql, row).get)

    def _insert_statement(self, columns: tuple[str, ...]) -> str:
        if columns not in self._inserts:
            self._inserts[columns] = self._insert_sql(columns)
        return self._inserts[columns]

    def _insert_sql(self, columns: tuple[str, ...]) -> str:
        key = [self._fold(name) for name in self.key]
        others = [quote_identifier(name) for name in columns if self._fold(name) not in key]
        name = "insert" if not key else "upsert" if others else "upsert_key_only"
        return statement("sqlite", name).format(
            table=quote_identifier(self.name),
            columns=quote_identifiers(columns),
            values=", ".join("?" * len(columns)),
            key=quote_identifiers(self.key),
            changes=", ".join(f"{name} = excluded.{name}" for name in others),
        )

    def _execute(self, connection: apsw.Connection, name: str, **parts: str) -> None:
        sql = statement("sqlite", name).format(table=quote_identifier(self.name), **parts)
        try:
            connection.execute(sql)
        except apsw.SQLError as error:
            if self._types and "syntax error" in str(error):
                raise TableSetupError(f"{error}; correct columns={{…}} of the sink") from error
            raise


@contextmanager
def _time_limit(connection: apsw.Connection) -> Iterator[None]:
    """Make SQLite interrupt writes that take too long."""
    until = time.monotonic() + MAX_WRITE_S
    connection.set_progress_handler(lambda: time.monotonic() > until, 100_000)
    try:
        yield
    finally:
        connection.set_progress_handler(None)


def _rollback_to_savepoint(connection: apsw.Connection, error: Exception) -> None:
    """Roll back to the savepoint."""
    if not connection.in_transaction:
        raise RolledBack from error
    connection.execute("ROLLBACK TO busway")
    connection.execute("RELEASE busway")


def _count_changes(connection: apsw.Connection, sql: str, row: Sequence[object]) -> int:
    """Write one row; return how many rows changed, not counting changes by triggers."""
    connection.execute(sql, row)
    return connection.changes()
