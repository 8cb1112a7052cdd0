"""The ledger as one SQLite file; concurrent writes of many lanes share a transaction."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import takewhile
from pathlib import Path
from typing import TypeVar

import apsw

from busway.audit_record import AuditRecord
from busway.conservation import check_resolution, check_settlement
from busway.engine.sqlite import flow_row, history, named_value, settlement_statement
from busway.engine.sqlite.audit import add_audit
from busway.engine.sqlite.background_read import BackgroundReader
from busway.engine.sqlite.checkpoint import Checkpointer
from busway.engine.sqlite.commit_thread import CommitThread
from busway.engine.sqlite.database import (
    Row,
    connect,
    connect_read_only,
    fetch,
    sql,
    to_store_error,
)
from busway.engine.sqlite.query import build_group_query, build_query, needs_scan
from busway.engine.sqlite.row_codec import ROW_CODEC
from busway.engine.sqlite.timestamp import to_microseconds
from busway.failed_event import (
    FailedEvent,
    FailedEventGroup,
    FailedEventQuery,
    Resolution,
    ResolvedEvent,
)
from busway.lane import FailedEventCounts, Lane, LaneId, LeaseRequest
from busway.named_value import ValueChange
from busway.settlement import SettledRange, Settlement

T = TypeVar("T")


class SqliteLedger:
    """Writes in one thread, in groups; reads in the calling thread, on its own connection."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = connect_read_only(path)
        self._checkpointer = Checkpointer(path)
        self._writer = CommitThread(connect(path), path)
        self._background = BackgroundReader(path)

    async def lanes(self) -> Sequence[Lane]:
        return self._fetch("ledger/lanes", (), ROW_CODEC.decode_lane)

    async def open_lane(self, flow: str, partition: int, start: int) -> Lane:
        def work(connection: apsw.Connection) -> Lane:
            connection.execute(sql("ledger/open_lane"), (flow, partition, start))
            return ROW_CODEC.decode_lane(fetch(connection, "ledger/get_lane", (flow, partition))[0])

        return await self._writer.submit(work)

    async def lease(
        self, leases: Sequence[LeaseRequest], changes: Sequence[ValueChange] = ()
    ) -> Sequence[int | None]:
        def work(connection: apsw.Connection) -> list[int | None]:
            if not named_value.apply_changes(connection, changes):
                return [None] * len(leases)
            return [settlement_statement.lease(connection, request) for request in leases]

        return await self._writer.submit(work)

    async def rename_flow(self, old: str, new: str, audit: Sequence[AuditRecord] = ()) -> bool:
        return await self._writer.submit(
            lambda connection: flow_row.rename_flow(connection, old, new, audit)
        )

    async def remove_flow(self, flow: str, audit: Sequence[AuditRecord] = ()) -> bool:
        return await self._writer.submit(
            lambda connection: flow_row.remove_flow(connection, flow, audit)
        )

    async def settle(
        self, settlements: Sequence[Settlement], changes: Sequence[ValueChange] = ()
    ) -> Sequence[bool]:
        for settlement in settlements:
            check_settlement(settlement)

        def work(connection: apsw.Connection) -> list[bool]:
            applied = [
                settlement_statement.settle(connection, settlement) for settlement in settlements
            ]
            if changes and all(applied):
                named_value.apply_changes(connection, changes)
            return applied

        return await self._writer.submit(work)

    async def resolve(
        self,
        resolutions: Sequence[Resolution],
        audit: Sequence[AuditRecord] = (),
        changes: Sequence[ValueChange] = (),
    ) -> Sequence[bool]:
        for resolution in resolutions:
            check_resolution(resolution)

        def work(connection: apsw.Connection) -> list[bool]:
            if not named_value.apply_changes(connection, changes):
                return [False] * len(resolutions)
            applied = settlement_statement.resolve(connection, resolutions)
            if any(applied):
                add_audit(connection, audit)
            return applied

        return await self._writer.submit(work)

    async def failed_events(self, query: FailedEventQuery) -> Sequence[FailedEvent]:
        statement, bindings = build_query(query)
        if needs_scan(query):
            return [
                ROW_CODEC.decode_failed_event(row)
                for row in await self._background.fetch(statement, bindings)
            ]
        with self._translating_errors():
            return [
                ROW_CODEC.decode_failed_event(row)
                for row in self._connection.execute(statement, bindings)
            ]

    async def failed_event_groups(self, query: FailedEventQuery) -> Sequence[FailedEventGroup]:
        statement, bindings = build_group_query(query)
        rows = await self._background.fetch(statement, bindings)
        return [ROW_CODEC.decode_failed_event_group(row) for row in rows]

    async def due_flows(self, by: datetime) -> Collection[str]:
        return set(self._fetch("ledger/due_flows", (to_microseconds(by),), lambda row: str(row[0])))

    async def parked_keys(self, flow: str, partition: int) -> Mapping[str, int]:
        return dict(self._fetch("ledger/parked_keys", (flow, partition), lambda row: row))

    async def settled_ranges(
        self, flow: str, partition: int | None = None
    ) -> Sequence[SettledRange]:
        return self._fetch(
            "ledger/settled_ranges", (flow, partition), ROW_CODEC.decode_settled_range
        )

    async def resolved_events(self, event_id: str) -> Sequence[ResolvedEvent]:
        return self._fetch("ledger/resolved_events", (event_id,), ROW_CODEC.decode_resolved_event)

    async def prune_history(self, before: datetime) -> None:
        while await self._writer.submit(
            lambda connection: history.prune_history(connection, before)
        ):
            pass

    async def put_value(self, name: str, value: bytes) -> None:
        await self.change_values([ValueChange(name, value)])

    async def get_values(self, prefix: str) -> Mapping[str, bytes]:
        cursor = self._connection.execute(sql("ledger/get_values"), (prefix,))
        with self._translating_errors(), contextlib.closing(cursor):
            return dict(takewhile(lambda row: row[0].startswith(prefix), cursor))

    async def count_failed_events(self) -> Mapping[LaneId, FailedEventCounts]:
        # it scans all rows, so it must not block the loop
        rows = await self._background.fetch(sql("ledger/count_failed_events"))
        return {
            LaneId(flow, partition): FailedEventCounts(parked, dead)
            for flow, partition, parked, dead in rows
        }

    async def change_values(
        self, changes: Sequence[ValueChange], audit: Sequence[AuditRecord] = ()
    ) -> bool:
        def work(connection: apsw.Connection) -> bool:
            if applied := named_value.apply_changes(connection, changes):
                add_audit(connection, audit)
            return applied

        return await self._writer.submit(work)

    async def audit_records(
        self, target: str = "", before: int | None = None, limit: int = 100
    ) -> Sequence[AuditRecord]:
        return self._fetch("ledger/audits", (target, before, limit), ROW_CODEC.decode_audit)

    async def maintain(self) -> None:
        await self._checkpointer.maintain()

    async def close(self) -> None:
        self._connection.close()
        self._background.close()
        await self._writer.close()
        await self._checkpointer.close()

    def _fetch(self, name: str, bindings: Row, decode: Callable[[Row], T]) -> list[T]:
        with self._translating_errors():
            return [decode(row) for row in fetch(self._connection, name, bindings)]

    @contextlib.contextmanager
    def _translating_errors(self) -> Iterator[None]:
        try:
            yield
        except apsw.Error as error:
            raise to_store_error(error, self._path) from error
