"""The ``sqlite`` sink: rows of one table of a SQLite database, each event exactly once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Literal

import apsw
import msgspec

from busway.declarable import DeclarableFunction
from busway.errors import SinkError
from busway.outcome import DELIVERED, NOT_ATTEMPTED, Down, Outcome
from busway.ports import DeliveredRange, Load, ResultLocation, SinkContext, SinkLane
from busway.settings import Env, resolve
from busway.sink.bisect import PartKey
from busway.sink.file.access import why_unwritable
from busway.sink.file.creation import FileMode, parse_permissions
from busway.sink.option import (
    ColumnTypes,
    KeyColumns,
    check_table_option,
    column_types,
    display_value,
    key_columns,
)
from busway.sink.position import LanePosition, advance, failed_offsets
from busway.sink.row import dict_rows, item_rows
from busway.sink.row_validation import ColumnNaming, TableRules
from busway.sink.sqlite import position
from busway.sink.sqlite.error import RolledBack, as_down
from busway.sink.sqlite.file import FILE_POOL, SqliteFile
from busway.sink.sqlite.table import SqliteTable
from busway.sink.statement import fold_ascii_case


class Sqlite(DeclarableFunction, frozen=True):
    """A table of a SQLite database that receives the rows of each event exactly once.

    >>> sqlite = Sqlite
    >>> sqlite("shop.db", table="orders", key="order_id", create=True).name
    'sqlite shop.db orders'

    Rows are dicts of column to value, upserted by ``key`` (one column or several), inserted without
    a key. ``create`` creates the table and adds columns from the data; ``columns`` sets the types
    of such columns. A new file gets the permissions ``mode``, by default for its owner only.
    Opening an invalid declaration raises :class:`SinkError`.
    """

    path: str | Env
    table: str
    key: KeyColumns = None
    create: bool = False
    columns: ColumnTypes = None
    mode: FileMode = "0600"

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "key", key_columns(self.key))
        msgspec.structs.force_setattr(self, "columns", column_types(self.columns))

    @property
    def name(self) -> str:
        return f"sqlite {display_value(self.path)} {self.table}"

    @property
    def keeps_positions(self) -> Literal[True]:
        return True

    def result_location(self) -> ResultLocation:
        return ResultLocation(
            "table", f"{self.table} of sqlite {display_value(self.path)}", key_columns(self.key)
        )

    async def open(self, context: SinkContext) -> SqliteDestination:
        self.validate_config()
        path, key = resolve(self.path), key_columns(self.key)
        shapes = TableRules(self.table, key, self.create, ColumnNaming("SQLite", fold_ascii_case))
        table = SqliteTable(shapes, dict(column_types(self.columns)))
        return SqliteDestination(
            FILE_POOL.acquire(path, parse_permissions("sqlite", self.mode)), table
        )

    def validate_config(self) -> None:
        path = resolve(self.path)
        if not path or path.startswith((":memory:", "file:")):
            raise SinkError(f"sqlite({path!r}): give the path of a database file")
        check_table_option("sqlite", self.table, key_columns(self.key))
        parse_permissions("sqlite", self.mode)


class SqliteDestination:
    """Writes rows and the lane's position in one transaction."""

    def __init__(self, file: SqliteFile, table: SqliteTable) -> None:
        self._file = file
        self._table = table
        self._closed = False

    async def write(self, load: Load) -> Sequence[Outcome]:
        try:
            return await self._file.run(partial(self._write_load, load))
        except Exception as error:
            down = as_down(error, self._file.path)
        return [down] * (len(load.items) or 1)

    async def delivered_range(
        self, lane: SinkLane, offsets: Sequence[int]
    ) -> DeliveredRange | Down:
        try:
            return await self._file.run(
                partial(position.delivered_range, lane=lane, offsets=offsets)
            )
        except apsw.Error as error:
            return as_down(error, self._file.path)

    async def ping(self) -> Down | None:
        return await why_unwritable(self._file.path)

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            await asyncio.to_thread(FILE_POOL.release, self._file)

    def _write_load(self, load: Load, connection: apsw.Connection) -> Sequence[Outcome]:
        """Write a load; retry without the rows that made SQLite roll back the transaction."""
        failed: dict[PartKey, Exception] | None = None
        while True:
            try:
                return self._write_once(load, connection, failed)
            except RolledBack:
                failed = {} if failed is None else failed
                connection.execute("BEGIN IMMEDIATE")

    def _write_once(
        self, load: Load, connection: apsw.Connection, failed: dict[PartKey, Exception] | None
    ) -> Sequence[Outcome]:
        position.create_tables(connection)
        lane_position = position.read_lane_position(connection, load)
        if lane_position.is_fenced(load):
            return [NOT_ATTEMPTED] * (len(load.items) or 1)
        outcomes = self._write_rows(load, lane_position, connection, failed)
        undelivered = failed_offsets(load, outcomes)
        position.save(connection, load, advance(lane_position, load, undelivered))
        return outcomes

    def _write_rows(
        self,
        load: Load,
        lane_position: LanePosition,
        connection: apsw.Connection,
        failed: dict[PartKey, Exception] | None,
    ) -> list[Outcome]:
        outcomes: list[Outcome] = [DELIVERED] * len(load.items)
        pending = lane_position.pending_items(load)
        rows = dict_rows(load.items, pending) if failed is None else None
        if rows is not None and self._table.write_all(connection, rows):
            return outcomes
        batch, rejections = item_rows(load.items, pending)
        problems = rejections | self._table.write_valid(
            connection, batch, {} if failed is None else failed
        )
        for index, problem in problems.items():
            outcomes[index] = problem
        return outcomes
