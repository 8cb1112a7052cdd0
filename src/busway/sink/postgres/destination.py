"""An opened ``postgres`` sink: rows and the lane's position in one transaction."""

from __future__ import annotations

from collections.abc import Sequence

from busway.driver.postgres.error import CONFLICT_STATES, SCHEMA_CHANGED_STATES, sqlstate
from busway.outcome import DELIVERED, NOT_ATTEMPTED, Down, Outcome
from busway.ports import DeliveredRange, Load, SinkLane
from busway.sink.bisect import ErrorScope
from busway.sink.position import advance, failed_offsets
from busway.sink.postgres import position
from busway.sink.postgres.error import (
    EXPECTED_ERRORS,
    ConnectionLost,
    as_down,
    error_scope,
    is_statement_timeout,
)
from busway.sink.postgres.session import PostgresSession, PostgresSessionPool
from busway.sink.postgres.split_writer import SplitWriter
from busway.sink.postgres.table import PostgresTable
from busway.sink.postgres.table_config import MAX_NAME_BYTES, PostgresTableConfig
from busway.sink.postgres.value import SYSTEM_COLUMNS
from busway.sink.row import dict_rows, item_rows
from busway.sink.row_validation import ColumnNaming, TableRules

MAX_ATTEMPTS = 4


class PostgresDestination:
    """Keeps connections open; writes loads of different lanes concurrently."""

    def __init__(self, config: PostgresTableConfig) -> None:
        self._location = config.location
        self._schema = config.schema
        naming = ColumnNaming("PostgreSQL", max_bytes=MAX_NAME_BYTES, reserved=SYSTEM_COLUMNS)
        shapes = TableRules(config.table, config.key, config.create, naming)
        self._table = PostgresTable(config.schema, shapes, config.columns)
        self._sessions = PostgresSessionPool(config.dsn, config.connections, config.timeout_s)
        self._tables_exist = False
        self._lanes_disconnected: set[SinkLane] = set()
        """Lanes whose last load ended with a lost connection."""
        self._split_writer = SplitWriter(self._write_with_retries, self._ping, config.location)

    async def write(self, load: Load) -> Sequence[Outcome]:
        try:
            outcomes = await self._write_with_retries(load)
        except Exception as error:
            self._tables_exist = False
            self._table.invalidate()
            if isinstance(error, ConnectionLost):
                if load.lane in self._lanes_disconnected:
                    return await self._split_writer.write(load)
                self._lanes_disconnected.add(load.lane)
            return [as_down(error, self._location)] * (len(load.items) or 1)
        self._lanes_disconnected.discard(load.lane)
        return outcomes

    async def delivered_range(
        self, lane: SinkLane, offsets: Sequence[int]
    ) -> DeliveredRange | Down:
        try:
            async with self._sessions.transaction() as session:
                return await position.delivered_range(
                    session.connection, self._schema, lane, offsets
                )
        except EXPECTED_ERRORS as error:
            return as_down(error, self._location)

    async def _ping(self) -> None:
        async with self._sessions.transaction():
            pass

    async def ping(self) -> Down | None:
        try:
            async with self._sessions.transaction():
                return None
        except EXPECTED_ERRORS as error:
            return as_down(error, self._location)

    async def close(self) -> None:
        await self._sessions.close()

    async def _write_with_retries(self, load: Load) -> Sequence[Outcome]:
        """Write all rows at once, then search for the bad ones; retry after a conflict."""
        failed: Exception | None = None
        for _ in range(1, MAX_ATTEMPTS):
            try:
                return await self._write_once(load, failed)
            except Exception as error:
                state = sqlstate(error)
                if state in SCHEMA_CHANGED_STATES:
                    self._table.invalidate()
                    self._tables_exist = False
                elif state not in CONFLICT_STATES:
                    if failed or error_scope(error) is ErrorScope.DESTINATION:
                        raise
                    failed = error
        return await self._write_once(load, failed, final=True)

    async def _write_once(
        self, load: Load, failed: Exception | None, *, final: bool = False
    ) -> Sequence[Outcome]:
        """Write a load: all rows at once, or with a search for bad rows after a failure."""
        async with self._sessions.transaction() as session:
            if not self._tables_exist:
                await position.create_tables(session.connection, self._schema)
            lane_position = await position.lock_lane_position(
                session.connection, self._schema, load
            )
            if lane_position.is_fenced(load):
                return [NOT_ATTEMPTED] * (len(load.items) or 1)
            outcomes: list[Outcome] = [DELIVERED] * len(load.items)
            pending = lane_position.pending_items(load)
            if pending and (
                failed or final or not await self._write_all_rows(session, load, pending)
            ):
                batch, rejections = item_rows(load.items, pending)
                slow = (
                    failed if failed and is_statement_timeout(failed) and not rejections else None
                )
                problems = await self._table.write_valid(
                    session, batch, previous_error=slow, final=final
                )
                for index, problem in (rejections | problems).items():
                    outcomes[index] = problem
            change = advance(lane_position, load, failed_offsets(load, outcomes))
            has_changed = (
                change.inserts or change.deletes or change.decided != lane_position.decided
            )
            if has_changed or load.fencing_token > lane_position.fencing_token:
                await position.save(session.connection, self._schema, load, change)
        self._tables_exist = True
        return outcomes

    async def _write_all_rows(
        self, session: PostgresSession, load: Load, pending: Sequence[int]
    ) -> bool:
        rows = dict_rows(load.items, pending)
        return rows is not None and await self._table.write_all(session, rows)
