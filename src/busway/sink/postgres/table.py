"""One table of a PostgreSQL database, written inside the transaction of the caller."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter

from asyncpg import PostgresError, Record

from busway.driver.postgres.error import sqlstate
from busway.outcome import Rejected
from busway.sink.bisect import RowDropped, RowRefusal, TableSetupError
from busway.sink.postgres.convert import PostgresValueError
from busway.sink.postgres.error import (
    UNKNOWN_TYPE_STATES,
    is_value_error,
    row_refusal,
)
from busway.sink.postgres.row_search import BadRowSearch
from busway.sink.postgres.session import PostgresSession
from busway.sink.postgres.statement import (
    MAX_DIRECT_ROWS,
    RowChunk,
    from_arrays,
    from_staging,
    from_values,
    insert,
    rows_kept,
    value_cast,
)
from busway.sink.postgres.value import (
    ColumnValues,
    PostgresColumn,
    column_type,
    convert_column,
    needs_numeric,
)
from busway.sink.row import ItemRows, Row, RowRun, all_rows
from busway.sink.row_validation import ItemProblems, TableRules, without_problems
from busway.sink.statement import quote_identifier, quote_identifiers, statement
from busway.sink.upsert import upsert_runs

_IDENTITY_REASON = "is GENERATED ALWAYS AS IDENTITY"


class PostgresTable:
    """Writes rows; a key makes them upserts, ``create`` creates and extends the table."""

    def __init__(self, schema: str, rules: TableRules, types: Mapping[str, str]) -> None:
        self.qualified_name = f"{quote_identifier(schema)}.{quote_identifier(rules.table)}"
        self._rules = rules
        self._types = types
        self._columns: dict[str, PostgresColumn] = {}
        self._generated: dict[str, str] = {}
        self._version = 0

    def invalidate(self) -> None:
        """Reload the columns before the next write."""
        self._columns = {}

    async def write_all(self, session: PostgresSession, rows: Sequence[Row]) -> bool:
        """Write all rows, or none and return false if some are not valid.

        Raises the errors of the server and the driver.
        """
        if not self._columns:
            await self._load_columns(session)
        if not self._rules.are_all_valid(rows, self._columns):
            return False
        try:
            chunks = self._chunks(rows)
        except PostgresValueError:
            return False
        await self._write(session, chunks)
        return True

    async def write_valid(
        self,
        session: PostgresSession,
        batch: Sequence[ItemRows],
        *,
        previous_error: Exception | None = None,
        final: bool = False,
    ) -> ItemProblems:
        """Write the rows of each item, all or none; return why items were not written.

        ``previous_error`` is the error of :meth:`write_all` for all of them. Raises an error that
        concerns the whole database and, unless this is the ``final`` attempt, one that a retry
        may resolve.
        """
        await self._load_columns(session)
        if not self._columns and not self._rules.create:
            raise TableSetupError(
                f"the table {self.qualified_name} does not exist; create it or set create=True"
            )
        problems = self._rules.invalid_items(batch, self._generated)
        await session.connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
        return problems | await BadRowSearch(
            self, session, without_problems(batch, problems), final
        ).run(previous_error)

    async def write_part(self, session: PostgresSession, part: Sequence[ItemRows]) -> ItemProblems:
        """Write items; return those that were found invalid before they were sent."""
        session.table_version = self._version
        if self._rules.create:
            await self._extend_table(session, part)
        problems = self._rules.items_without_column(part, self._columns)
        chunks, unsuitable = self._convertible(without_problems(part, problems))
        await self._write(session, chunks)
        return problems | unsuitable

    async def rolled_back(self, session: PostgresSession) -> None:
        """Handle the rollback of the last write, including columns that it added."""
        session.rolled_back()
        if session.table_version != self._version:
            await self._load_columns(session)

    async def row_refusal(
        self, session: PostgresSession, error: Exception, rows: Sequence[Row]
    ) -> RowRefusal:
        """Return why the rows of an item were refused, naming the column if possible."""
        if not is_value_error(error):
            return row_refusal(error, rows)
        for name in rows[0].keys() & self._columns.keys():
            chunk = self._chunk(RowRun((name,), rows[:1]))
            try:
                async with session.connection.transaction():
                    await session.connection.fetchval(value_cast(chunk), *chunk.first_row)
            except Exception as cast_error:
                if is_value_error(cast_error):
                    return row_refusal(
                        cast_error, rows, self._columns[name].cannot_hold(rows[0][name])
                    )
        return row_refusal(error, rows)

    async def check_writable(self, session: PostgresSession, error: Exception) -> None:
        """Raise an error if no row can be written now."""
        if not self._columns:
            return
        sql = statement("postgres", "probe")
        if await session.connection.fetchval(sql, self.qualified_name, session.timeout_s):
            raise error
        names = self._rules.key or [next(iter(self._columns))]
        columns = [self._columns[name] for name in names if name in self._columns]
        chunk = RowChunk(columns, [ColumnValues([]) for _ in columns], 0)
        sql = insert(self.qualified_name, self._rules.key, chunk.names, from_arrays(chunk))
        async with session.connection.transaction():
            await session.connection.execute(f"EXPLAIN {sql}", *chunk.values)

    async def _load_columns(self, session: PostgresSession) -> None:
        records = await session.connection.fetch(
            statement("postgres", "columns"), self.qualified_name
        )
        columns = {
            row["name"]: _column(row)
            for row in records
            if not row["is_generated"] and not row["is_identity"]
        }
        self._generated = {
            row["name"]: "is generated" if row["is_generated"] else _IDENTITY_REASON
            for row in records
            if row["name"] not in columns
        }
        if columns != self._columns:
            self._columns = columns
            self._version += 1

    async def _extend_table(self, session: PostgresSession, batch: Sequence[ItemRows]) -> None:
        """Create the table, add missing columns and widen integer columns."""
        if not self._missing_columns(batch) and not self._columns_to_widen(batch):
            return
        await session.connection.execute(statement("postgres", "lock"), self.qualified_name)
        await self._load_columns(session)
        definitions = {
            name: f"{quote_identifier(name)} {self._types.get(name) or column_type(values)}"
            for name, values in self._missing_columns(batch).items()
        }
        if self._columns:
            if definitions:
                parts = ", ADD COLUMN ".join(definitions.values())
                await self._alter(session, "column_add", definition=parts)
            for name in self._columns_to_widen(batch):
                await self._alter(session, "column_widen", column=quote_identifier(name))
        elif definitions:
            key = [f"PRIMARY KEY ({quote_identifiers(self._rules.key)})"] if self._rules.key else []
            parts = ", ".join([*definitions.values(), *key])
            await self._alter(session, "table_create", definitions=parts)
        await self._load_columns(session)

    def _missing_columns(self, batch: Sequence[ItemRows]) -> dict[str, list[object]]:
        lacking: dict[str, list[object]] = defaultdict(list)
        for name, value in self._rules.values_without_column(batch, self._columns):
            lacking[name].append(value)
        return lacking

    def _columns_to_widen(self, batch: Sequence[ItemRows]) -> list[str]:
        return sorted(
            {
                name
                for row in all_rows(batch)
                for name, value in row.items()
                if name in self._columns and needs_numeric(self._columns[name], value)
            }
        )

    def _convertible(self, batch: Sequence[ItemRows]) -> tuple[list[RowChunk], ItemProblems]:
        """Return the chunks to write, and the items whose values the columns cannot hold."""
        try:
            return self._chunks(all_rows(batch)), {}
        except PostgresValueError:
            pass
        problems: ItemProblems = {}
        for rows in batch:
            try:
                self._chunks(rows.rows)
            except PostgresValueError as error:
                problems[rows.index] = Rejected("bad value", str(error))
        return self._chunks(all_rows(without_problems(batch, problems))), problems

    def _chunks(self, rows: Iterable[Row]) -> list[RowChunk]:
        return [self._chunk(run) for run in upsert_runs(rows, self._rules.key)]

    def _chunk(self, run: RowRun) -> RowChunk:
        columns = [self._columns[name] for name in run.columns if name in self._columns]
        sent = [convert_column(c, list(map(itemgetter(c.name), run.rows))) for c in columns]
        return RowChunk(columns, sent, len(run.rows))

    async def _write(self, session: PostgresSession, chunks: Sequence[RowChunk]) -> None:
        for chunk in chunks:
            if chunk.has_arrays and chunk.has_text:
                rows = from_values(chunk)
                for values in zip(*chunk.values, strict=True):
                    await self._insert(session, chunk, 1, rows, values)
            elif not chunk.has_arrays and (chunk.has_text or chunk.size <= MAX_DIRECT_ROWS):
                await self._insert(session, chunk, chunk.size, from_arrays(chunk), chunk.values)
            else:
                await session.stage(self.qualified_name, self._version)
                await session.copy(chunk.names, list(zip(*chunk.values, strict=True)))
                rows = from_staging(session.staging or "", chunk.names)
                await self._insert(session, chunk, chunk.size, rows, ())

    async def _insert(
        self,
        session: PostgresSession,
        chunk: RowChunk,
        size: int,
        rows: str,
        values: Iterable[object],
    ) -> None:
        """Write rows. Raises :class:`RowDropped` if the table did not keep all of them."""
        values = list(values)
        sql = insert(self.qualified_name, self._rules.key, chunk.names, rows)
        status = await session.connection.execute(sql, *values)
        if int(status.rpartition(" ")[2]) == size:
            return
        sql = rows_kept(self.qualified_name, chunk.columns, rows)
        if await session.connection.fetchval(sql, *values) < size:
            raise RowDropped("a trigger or a rule of the table left it out")

    async def _alter(self, session: PostgresSession, name: str, **parts: str) -> None:
        sql = statement("postgres", name).format(table=self.qualified_name, **parts)
        try:
            await session.connection.execute(sql)
        except PostgresError as error:
            if self._types and sqlstate(error) in UNKNOWN_TYPE_STATES:
                raise TableSetupError(
                    f"{error.args[0]}; correct columns={{…}} of the sink"
                ) from error
            raise


def _column(row: Record) -> PostgresColumn:
    return PostgresColumn(
        row["name"],
        row["type_name"],
        row["type_schema"],
        row["shown"],
        row["element_name"] if row["is_array"] else None,
        row["modifier"],
    )
