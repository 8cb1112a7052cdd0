"""One table of a PostgreSQL database, written to inside somebody else's transaction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter

import asyncpg
import msgspec

from busway.outcome import Rejected
from busway.sink.postgres_error import NoTable, is_data, rejected
from busway.sink.postgres_session import Session
from busway.sink.postgres_value import BadValue, Column, column_type, converted, needs_numeric
from busway.sink.row import Row, Rows, Run, flat
from busway.sink.shape import Problems, Shapes, without
from busway.sink.statement import listed, quoted, statement
from busway.sink.upsert import layers

DIRECT = 500
"""Up to so many rows go with the statement that inserts them; more are copied first."""


class Chunk(msgspec.Struct, frozen=True):
    """A run of rows as the driver sends it: the values of each column."""

    columns: Sequence[Column]
    values: Sequence[Sequence[object]]
    size: int

    @property
    def direct(self) -> bool:
        """Say whether the rows can go with the statement: ``unnest`` would flatten arrays."""
        return self.size <= DIRECT and all(column.element is None for column in self.columns)


class PostgresTable:
    """Lands rows; a key makes them upserts, ``create`` grows the table to what they hold."""

    def __init__(self, schema: str, shapes: Shapes, types: Mapping[str, str]) -> None:
        self.place = f"{quoted(schema)}.{quoted(shapes.table)}"
        self._shapes = shapes
        self._types = types
        self._columns: dict[str, Column] = {}
        self._version = 0

    def forget(self) -> None:
        """Look at the table again before the next write."""
        self._columns = {}

    async def land_whole(self, session: Session, rows: Sequence[Row]) -> bool:
        """Write rows that are all in order; say no, and write none, when some are not.

        Raises :class:`asyncpg.PostgresError` when the server finds something, too.
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

    async def land(self, session: Session, batch: Sequence[Rows]) -> Problems:
        """Write the rows of each item, all or none; return why items are not in it.

        Raises :class:`NoTable`, and :class:`asyncpg.PostgresError` for what is no row's fault.
        """
        await self._look(session)
        problems = self._shapes.unfit(batch)
        fit = without(batch, problems)
        if self._shapes.create:
            await self._grow(session, fit)
        elif not self._columns:
            raise NoTable(f"the table {self.place} does not exist; create it or set create=True")
        problems |= self._shapes.unknown(fit, self._columns)
        problems |= self._unsuitable(without(fit, problems))
        fit = without(fit, problems)
        await session.connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
        if sum(len(rows.rows) for rows in fit) > DIRECT or self._has_arrays():
            await session.stage(self.place, self._version)
        return problems | await self._search(session, fit)

    async def _look(self, session: Session) -> None:
        found = await session.connection.fetch(statement("postgres", "columns"), self.place)
        columns = {
            row["name"]: Column(
                row["name"],
                row["type_name"],
                row["type_schema"],
                row["shown"],
                row["element_name"] if row["is_array"] else None,
            )
            for row in found
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
            for definition in definitions.values():
                await self._change(session, "column_add", definition=definition)
            for name in self._wide(batch):
                await self._change(session, "column_widen", column=quoted(name))
        elif definitions:
            parts = [*definitions.values()]
            if self._shapes.key:
                parts.append(f"PRIMARY KEY ({listed(self._shapes.key)})")
            await self._change(session, "table_create", definitions=", ".join(parts))
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

    def _unsuitable(self, batch: Sequence[Rows]) -> Problems:
        """Return the items with values that their columns cannot hold."""
        try:
            self._chunks(flat(batch))
        except BadValue:
            pass
        else:
            return {}
        problems: Problems = {}
        for rows in batch:
            try:
                self._chunks(rows.rows)
            except BadValue as error:
                problems[rows.index] = Rejected("bad value", str(error))
        return problems

    async def _search(self, session: Session, batch: Sequence[Rows]) -> Problems:
        """Write a batch as one; where a row in it is bad, halve the batch to find it."""
        if not batch:
            return {}
        try:
            async with session.connection.transaction():
                await self._write(session, self._chunks(flat(batch)))
        except asyncpg.PostgresError as error:
            if not is_data(error):
                raise
            if len(batch) == 1:
                return {batch[0].index: rejected(error)}
        else:
            return {}
        middle = len(batch) // 2
        found = await self._search(session, batch[:middle])
        return found | await self._search(session, batch[middle:])

    def _chunks(self, rows: Iterable[Row]) -> list[Chunk]:
        return [self._chunk(run) for run in layers(rows, self._shapes.key)]

    def _chunk(self, run: Run) -> Chunk:
        columns = [self._columns[name] for name in run.columns if name in self._columns]
        values = [converted(c, list(map(itemgetter(c.name), run.rows))) for c in columns]
        return Chunk(columns, values, len(run.rows))

    async def _write(self, session: Session, chunks: Sequence[Chunk]) -> None:
        for chunk in chunks:
            names = [column.name for column in chunk.columns]
            if chunk.direct:
                sql = self._insert(names, _from_arrays(chunk.columns))
                await session.connection.execute(sql, *chunk.values)
                continue
            await session.stage(self.place, self._version)
            await session.copy(names, list(zip(*chunk.values, strict=True)))
            await session.connection.execute(self._insert(names, _from_staging(session, names)))

    def _insert(self, names: Sequence[str], rows: str) -> str:
        key = self._shapes.key
        others = [quoted(name) for name in names if name not in key]
        kind = "insert" if not key else "upsert" if others else "upsert_key_only"
        return statement("postgres", kind).format(
            table=self.place,
            columns=listed(names),
            rows=rows,
            key=listed(key),
            changes=", ".join(f"{name} = excluded.{name}" for name in others),
        )

    async def _change(self, session: Session, name: str, **parts: str) -> None:
        sql = statement("postgres", name).format(table=self.place, **parts)
        await session.connection.execute(sql)

    def _has_arrays(self) -> bool:
        return any(column.element for column in self._columns.values())


def _from_arrays(columns: Sequence[Column]) -> str:
    arrays = ", ".join(
        f"${place}::{quoted(column.schema)}.{quoted(column.kind)}[]"
        for place, column in enumerate(columns, 1)
    )
    return statement("postgres", "from_arrays").format(arrays=arrays)


def _from_staging(session: Session, names: Sequence[str]) -> str:
    return statement("postgres", "from_staging").format(
        columns=listed(names), staging=quoted(session.staging or "")
    )
