"""The ``sqlite`` sink: rows of one table of a SQLite database, each event exactly once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Literal

import apsw
import msgspec

from busway.errors import SinkError
from busway.outcome import DELIVERED, UNTRIED, Down, Outcome
from busway.parameter import DeclarableFunction
from busway.ports import Landing, Load, Standing, Supplies
from busway.settings import Env, resolve
from busway.sink import sqlite_position
from busway.sink.bisect import Span
from busway.sink.declared import Columns, Key, check_table, column_types, key_columns, label
from busway.sink.file_access import unwritable
from busway.sink.new_file import Mode, permissions
from busway.sink.position import Place, advance, missed_offsets
from busway.sink.row import item_rows, plain_rows
from busway.sink.shape import Naming, Shapes
from busway.sink.sqlite_error import RolledBack, down
from busway.sink.sqlite_file import FILES, SqliteFile
from busway.sink.sqlite_table import SqliteTable
from busway.sink.statement import ascii_lower


class Sqlite(DeclarableFunction, frozen=True):
    """A table of a SQLite database that each event's rows are in exactly once.

    >>> sqlite = Sqlite
    >>> sqlite("shop.db", table="orders", key="order_id", create=True).name
    'sqlite shop.db orders'

    Rows are dicts of column to value, upserted by ``key`` (a column, or several), inserted without
    one. ``create`` creates the table and adds columns from the data; ``columns`` gives such columns
    a type of your choice. A file that is made has the permissions ``mode``, by default for its
    owner alone. What was declared wrong raises :class:`SinkError` when it is opened.
    """

    path: str | Env
    table: str
    key: Key = None
    create: bool = False
    columns: Columns = None
    mode: Mode = "0600"

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "key", key_columns(self.key))
        msgspec.structs.force_setattr(self, "columns", column_types(self.columns))

    @property
    def name(self) -> str:
        return f"sqlite {label(self.path)} {self.table}"

    @property
    def keeps_positions(self) -> Literal[True]:
        return True

    def landing(self) -> Landing:
        return Landing("table", f"{self.table} of sqlite {label(self.path)}", key_columns(self.key))

    async def open(self, supplies: Supplies) -> SqliteDestination:
        self.check()
        path, key = resolve(self.path), key_columns(self.key)
        shapes = Shapes(self.table, key, self.create, Naming("SQLite", ascii_lower))
        table = SqliteTable(shapes, dict(column_types(self.columns)))
        return SqliteDestination(FILES.take(path, permissions("sqlite", self.mode)), table)

    def check(self) -> None:
        path = resolve(self.path)
        if not path or path.startswith((":memory:", "file:")):
            raise SinkError(f"sqlite({path!r}): give the path of a database file")
        check_table("sqlite", self.table, key_columns(self.key))
        permissions("sqlite", self.mode)


class SqliteDestination:
    """Writes rows and the lane's position in one transaction."""

    def __init__(self, file: SqliteFile, table: SqliteTable) -> None:
        self._file = file
        self._table = table

    async def write(self, load: Load) -> Sequence[Outcome]:
        try:
            return await self._file.run(partial(self._land, load))
        except Exception as error:
            state = down(error, self._file.path)
        return [state] * (len(load.items) or 1)

    async def landed(self, lane: tuple[str, str, int], offsets: Sequence[int]) -> Standing | Down:
        try:
            return await self._file.run(
                partial(sqlite_position.standing, lane=lane, offsets=offsets)
            )
        except apsw.Error as error:
            return down(error, self._file.path)

    async def reach(self) -> Down | None:
        return await unwritable(self._file.path)

    async def close(self) -> None:
        await asyncio.to_thread(FILES.give_back, self._file)

    def _land(self, load: Load, connection: apsw.Connection) -> Sequence[Outcome]:
        """Land a load; again, without what it was that made SQLite undo the transaction."""
        failed: dict[Span, Exception] | None = None
        while True:
            try:
                return self._land_once(load, connection, failed)
            except RolledBack:
                failed = {} if failed is None else failed
                connection.execute("BEGIN IMMEDIATE")

    def _land_once(
        self, load: Load, connection: apsw.Connection, failed: dict[Span, Exception] | None
    ) -> Sequence[Outcome]:
        sqlite_position.prepare(connection)
        place = sqlite_position.read(connection, load)
        if place.refuses(load):
            return [UNTRIED] * (len(load.items) or 1)
        outcomes = self._rows(load, place, connection, failed)
        missed = missed_offsets(load, outcomes)
        sqlite_position.store(connection, load, advance(place, load, missed))
        return outcomes

    def _rows(
        self,
        load: Load,
        place: Place,
        connection: apsw.Connection,
        failed: dict[Span, Exception] | None,
    ) -> list[Outcome]:
        outcomes: list[Outcome] = [DELIVERED] * len(load.items)
        pending = place.pending(load)
        plain = plain_rows(load.items, pending) if failed is None else None
        if plain is not None and self._table.land_whole(connection, plain):
            return outcomes
        batch, refused = item_rows(load.items, pending)
        problems = refused | self._table.land(connection, batch, {} if failed is None else failed)
        for index, problem in problems.items():
            outcomes[index] = problem
        return outcomes
