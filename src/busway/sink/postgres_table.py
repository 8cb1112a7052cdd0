"""One table of a PostgreSQL database, written to inside somebody else's transaction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter

from asyncpg import PostgresError, Record

from busway.outcome import Rejected
from busway.sink.bisect import Refusal
from busway.sink.postgres_convert import BadValue
from busway.sink.postgres_error import (
    NO_TYPE,
    RowDropped,
    SetUpError,
    code,
    is_of_value,
    refusal,
)
from busway.sink.postgres_search import Search
from busway.sink.postgres_session import Session
from busway.sink.postgres_statement import (
    DIRECT,
    Chunk,
    from_arrays,
    from_staging,
    from_values,
    insert,
    rows_kept,
    value_cast,
)
from busway.sink.postgres_value import Column, Sent, column_type, converted, needs_numeric
from busway.sink.row import Row, Rows, Run, flat
from busway.sink.shape import Problems, Shapes, without
from busway.sink.statement import listed, quoted, statement
from busway.sink.upsert import layers

_IDENTITY = "is GENERATED ALWAYS AS IDENTITY"


class PostgresTable:
    """Lands rows; a key makes them upserts, ``create`` grows the table to what they hold."""

    def __init__(self, schema: str, shapes: Shapes, types: Mapping[str, str]) -> None:
        self.place = f"{quoted(schema)}.{quoted(shapes.table)}"
        self._shapes = shapes
        self._types = types
        self._columns: dict[str, Column] = {}
        self._filled: dict[str, str] = {}
        self._version = 0

    def forget(self) -> None:
        """Look at the table again before the next write."""
        self._columns = {}

    async def land_whole(self, session: Session, rows: Sequence[Row]) -> bool:
        """Write rows that are all in order; say no, and write none, when some are not.

        Raises what the server, or the driver, finds.
        """
        if not self._columns:
            await self._look(session)
        if not self._shapes.fit(rows, self._columns):
            return False
        try:
            chunks = self._chunks(rows)
        except BadValue:
            return False
        await self._write(session, chunks)
        return True

    async def land(
        self,
        session: Session,
        batch: Sequence[Rows],
        *,
        failed: Exception | None = None,
        final: bool = False,
    ) -> Problems:
        """Write the rows of each item, all or none; return why items are not in it.

        ``failed`` is what :meth:`land_whole` raised for all of them. Raises what shows that nothing
        can be written now and, unless this is the ``final`` attempt, what may be over at another.
        """
        await self._look(session)
        if not self._columns and not self._shapes.create:
            raise SetUpError(f"the table {self.place} does not exist; create it or set create=True")
        problems = self._shapes.unfit(batch, self._filled)
        await session.connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
        return problems | await Search(self, session, without(batch, problems), final).run(failed)

    async def write_part(self, session: Session, part: Sequence[Rows]) -> Problems:
        """Write items; return those that were seen to be wrong before they were sent."""
        session.version = self._version
        if self._shapes.create:
            await self._grow(session, part)
        problems = self._shapes.unknown(part, self._columns)
        chunks, unsuitable = self._suitable(without(part, problems))
        await self._write(session, chunks)
        return problems | unsuitable

    async def undone(self, session: Session) -> None:
        """Learn that what was written last was undone: also columns that were added for it."""
        session.undone()
        if session.version != self._version:
            await self._look(session)

    async def refusal(self, session: Session, error: Exception, rows: Sequence[Row]) -> Refusal:
        """Return why the rows of an item were refused, and for the value of which column."""
        if not is_of_value(error):
            return refusal(error, rows)
        for name in rows[0].keys() & self._columns.keys():
            chunk = self._chunk(Run((name,), rows[:1]))
            try:
                async with session.connection.transaction():
                    await session.connection.fetchval(value_cast(chunk), *chunk.first)
            except Exception as found:
                if is_of_value(found):
                    return refusal(found, rows, self._columns[name].refusal(rows[0][name]))
        return refusal(error, rows)

    async def probe(self, session: Session, error: Exception) -> None:
        """Raise an error when no row at all can be written now."""
        if not self._columns:
            return
        sql = statement("postgres", "probe")
        if await session.connection.fetchval(sql, self.place, session.timeout_s):
            raise error
        names = self._shapes.key or [next(iter(self._columns))]
        columns = [self._columns[name] for name in names if name in self._columns]
        chunk = Chunk(columns, [Sent([]) for _ in columns], 0)
        sql = insert(self.place, self._shapes.key, chunk.names, from_arrays(chunk))
        async with session.connection.transaction():
            await session.connection.execute(f"EXPLAIN {sql}", *chunk.values)

    async def _look(self, session: Session) -> None:
        found = await session.connection.fetch(statement("postgres", "columns"), self.place)
        columns = {
            row["name"]: _column(row)
            for row in found
            if not row["is_generated"] and not row["is_identity"]
        }
        self._filled = {
            row["name"]: "is generated" if row["is_generated"] else _IDENTITY
            for row in found
            if row["name"] not in columns
        }
        if columns != self._columns:
            self._columns = columns
            self._version += 1

    async def _grow(self, session: Session, batch: Sequence[Rows]) -> None:
        """Create the table, add the columns that it lacks, and widen whole numbers."""
        if not self._lacks(batch) and not self._wide(batch):
            return
        await session.connection.execute(statement("postgres", "lock"), self.place)
        await self._look(session)
        definitions = {
            name: f"{quoted(name)} {self._types.get(name) or column_type(values)}"
            for name, values in self._lacks(batch).items()
        }
        if self._columns:
            if definitions:
                parts = ", ADD COLUMN ".join(definitions.values())
                await self._change(session, "column_add", definition=parts)
            for name in self._wide(batch):
                await self._change(session, "column_widen", column=quoted(name))
        elif definitions:
            key = [f"PRIMARY KEY ({listed(self._shapes.key)})"] if self._shapes.key else []
            parts = ", ".join([*definitions.values(), *key])
            await self._change(session, "table_create", definitions=parts)
        await self._look(session)

    def _lacks(self, batch: Sequence[Rows]) -> dict[str, list[object]]:
        lacking: dict[str, list[object]] = defaultdict(list)
        for name, value in self._shapes.unheard(batch, self._columns):
            lacking[name].append(value)
        return lacking

    def _wide(self, batch: Sequence[Rows]) -> list[str]:
        return sorted(
            {
                name
                for row in flat(batch)
                for name, value in row.items()
                if name in self._columns and needs_numeric(self._columns[name], value)
            }
        )

    def _suitable(self, batch: Sequence[Rows]) -> tuple[list[Chunk], Problems]:
        """Return what is to be written, without the items whose values columns cannot hold."""
        try:
            return self._chunks(flat(batch)), {}
        except BadValue:
            pass
        problems: Problems = {}
        for rows in batch:
            try:
                self._chunks(rows.rows)
            except BadValue as error:
                problems[rows.index] = Rejected("bad value", str(error))
        return self._chunks(flat(without(batch, problems))), problems

    def _chunks(self, rows: Iterable[Row]) -> list[Chunk]:
        return [self._chunk(run) for run in layers(rows, self._shapes.key)]

    def _chunk(self, run: Run) -> Chunk:
        columns = [self._columns[name] for name in run.columns if name in self._columns]
        sent = [converted(c, list(map(itemgetter(c.name), run.rows))) for c in columns]
        return Chunk(columns, sent, len(run.rows))

    async def _write(self, session: Session, chunks: Sequence[Chunk]) -> None:
        for chunk in chunks:
            if chunk.has_arrays and chunk.has_text:
                rows = from_values(chunk)
                for values in zip(*chunk.values, strict=True):
                    await self._insert(session, chunk, 1, rows, values)
            elif not chunk.has_arrays and (chunk.has_text or chunk.size <= DIRECT):
                await self._insert(session, chunk, chunk.size, from_arrays(chunk), chunk.values)
            else:
                await session.stage(self.place, self._version)
                await session.copy(chunk.names, list(zip(*chunk.values, strict=True)))
                rows = from_staging(session.staging or "", chunk.names)
                await self._insert(session, chunk, chunk.size, rows, ())

    async def _insert(
        self, session: Session, chunk: Chunk, size: int, rows: str, values: Iterable[object]
    ) -> None:
        """Write rows; raises :class:`RowDropped` when not all of them are in the table then."""
        values = list(values)
        sql = insert(self.place, self._shapes.key, chunk.names, rows)
        status = await session.connection.execute(sql, *values)
        if int(status.rpartition(" ")[2]) == size:
            return
        sql = rows_kept(self.place, chunk.columns, rows)
        if await session.connection.fetchval(sql, *values) < size:
            raise RowDropped("a trigger or a rule of the table left it out")

    async def _change(self, session: Session, name: str, **parts: str) -> None:
        sql = statement("postgres", name).format(table=self.place, **parts)
        try:
            await session.connection.execute(sql)
        except PostgresError as error:
            if self._types and code(error) in NO_TYPE:
                raise SetUpError(f"{error.args[0]}; mend columns={{…}} of the sink") from error
            raise


def _column(row: Record) -> Column:
    return Column(
        row["name"],
        row["type_name"],
        row["type_schema"],
        row["shown"],
        row["element_name"] if row["is_array"] else None,
        row["modifier"],
    )
