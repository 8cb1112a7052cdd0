"""The ledger in PostgreSQL; each method is one transaction."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from busway.audit_record import AuditRecord
from busway.conservation import check_resolution, check_settlement
from busway.driver.postgres.timeout import QUICK_TIMEOUT_S
from busway.engine.postgres import flow_row, named_value, settlement_statement
from busway.engine.postgres.audit import add_audit
from busway.engine.postgres.database import Database, fetch
from busway.engine.postgres.query import build_group_query, build_query
from busway.engine.postgres.row_codec import ROW_CODEC
from busway.engine.postgres.settlement_group import SettlementGroupCommit
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

_PRUNE_ROWS = 5_000


class PostgresLedger:
    """Serializes changes of a lane by the lane's row; any number of processes may use it.

    Heartbeats and leases use ``control_pool``, so that they do not wait behind the work.
    """

    def __init__(self, database: Database, control_pool: Database | None = None) -> None:
        self._database = database
        self._control_pool = control_pool or database
        self._group_commit = SettlementGroupCommit(database)

    async def lanes(self) -> Sequence[Lane]:
        return [
            ROW_CODEC.decode_lane(row)
            for row in await self._control_pool.fetch_quickly("ledger/lanes")
        ]

    async def open_lane(self, flow: str, partition: int, start: int) -> Lane:
        while True:  # there is no row while another process that creates it commits
            rows = await self._database.fetch("ledger/open_lane", flow, partition, start)
            if rows:
                return ROW_CODEC.decode_lane(rows[0])

    async def lease(
        self, leases: Sequence[LeaseRequest], changes: Sequence[ValueChange] = ()
    ) -> Sequence[int | None]:
        fencing_tokens: list[int | None] = [None] * len(leases)
        async with self._control_pool.transaction(QUICK_TIMEOUT_S) as connection:
            if changes:
                await settlement_statement.lock_lanes(connection, leases)
                if not await named_value.apply_changes(connection, changes):
                    return fencing_tokens
            # in the order in which everybody locks several lanes, to avoid deadlocks
            for number, lease in sorted(enumerate(leases), key=_lane_order):
                values = (lease.flow, lease.partition, lease.fencing_token, lease.worker)
                rows = await fetch(connection, "ledger/lease", *values)
                fencing_tokens[number] = rows[0][0] if rows else None
        return fencing_tokens

    async def rename_flow(self, old: str, new: str, audit: Sequence[AuditRecord] = ()) -> bool:
        async with self._database.transaction() as connection:
            return await flow_row.rename_flow(connection, old, new, audit)

    async def remove_flow(self, flow: str, audit: Sequence[AuditRecord] = ()) -> bool:
        async with self._database.transaction() as connection:
            return await flow_row.remove_flow(connection, flow, audit)

    async def settle(
        self, settlements: Sequence[Settlement], changes: Sequence[ValueChange] = ()
    ) -> Sequence[bool]:
        for settlement in settlements:
            check_settlement(settlement)
        if len(settlements) == 1 and not settlements[0].failed_events and not changes:
            return [await self._group_commit.settle(settlements[0])]
        async with self._database.transaction(QUICK_TIMEOUT_S) as connection:
            if len(settlements) > 1:
                await settlement_statement.lock_lanes(connection, settlements)
            applied = [
                await settlement_statement.settle(connection, settlement)
                for settlement in settlements
            ]
            if changes and all(applied):
                await named_value.apply_changes(connection, changes)
            return applied

    async def resolve(
        self,
        resolutions: Sequence[Resolution],
        audit: Sequence[AuditRecord] = (),
        changes: Sequence[ValueChange] = (),
    ) -> Sequence[bool]:
        for resolution in resolutions:
            check_resolution(resolution)
        async with self._database.transaction() as connection:
            await settlement_statement.lock_lanes(connection, resolutions)
            if not await named_value.apply_changes(connection, changes):
                return [False] * len(resolutions)
            applied = await settlement_statement.resolve(connection, resolutions)
            if any(applied):
                await add_audit(connection, audit)
            return applied

    async def failed_events(self, query: FailedEventQuery) -> Sequence[FailedEvent]:
        statement, values = build_query(query)
        return [
            ROW_CODEC.decode_failed_event(row)
            for row in await self._database.fetch_sql(statement, *values)
        ]

    async def failed_event_groups(self, query: FailedEventQuery) -> Sequence[FailedEventGroup]:
        statement, values = build_group_query(query)
        return [
            ROW_CODEC.decode_failed_event_group(row)
            for row in await self._database.fetch_sql(statement, *values)
        ]

    async def count_failed_events(self) -> Mapping[LaneId, FailedEventCounts]:
        rows = await self._database.fetch("ledger/count_failed_events")
        return {
            LaneId(flow, partition): FailedEventCounts(parked, dead)
            for flow, partition, parked, dead in rows
        }

    async def due_flows(self, by: datetime) -> Collection[str]:
        return {str(flow) for (flow,) in await self._database.fetch("ledger/due_flows", by)}

    async def parked_keys(self, flow: str, partition: int) -> Mapping[str, int]:
        rows = await self._database.fetch("ledger/parked_keys", flow, partition)
        return {str(key): int(count) for key, count in rows}

    async def settled_ranges(
        self, flow: str, partition: int | None = None
    ) -> Sequence[SettledRange]:
        rows = await self._database.fetch("ledger/settled_ranges", flow, partition)
        return [ROW_CODEC.decode_settled_range(row) for row in rows]

    async def resolved_events(self, event_id: str) -> Sequence[ResolvedEvent]:
        return [
            ROW_CODEC.decode_resolved_event(row)
            for row in await self._database.fetch("ledger/resolved_events", event_id)
        ]

    async def prune_history(self, before: datetime) -> None:
        deleted = _PRUNE_ROWS
        while deleted == _PRUNE_ROWS:
            ((deleted,),) = await self._database.fetch(
                "ledger/prune_resolved_events", before, _PRUNE_ROWS
            )
        await self._database.fetch("ledger/merge_settled_ranges", before)

    async def put_value(self, name: str, value: bytes) -> None:
        await self._control_pool.fetch_quickly("ledger/put_value", name, value)

    async def get_values(self, prefix: str) -> Mapping[str, bytes]:
        rows = await self._control_pool.fetch_quickly("ledger/get_values", prefix)
        return {str(name): bytes(value) for name, value in rows}

    async def change_values(
        self, changes: Sequence[ValueChange], audit: Sequence[AuditRecord] = ()
    ) -> bool:
        async with self._control_pool.transaction(QUICK_TIMEOUT_S) as connection:
            applied = await named_value.apply_changes(connection, changes)
            if applied:
                await add_audit(connection, audit)
            return applied

    async def audit_records(
        self, target: str = "", before: int | None = None, limit: int = 100
    ) -> Sequence[AuditRecord]:
        rows = await self._database.fetch("ledger/audits", target, before, limit)
        return [ROW_CODEC.decode_audit(row) for row in rows]

    async def close(self) -> None:
        """Stop writing; whoever opened the database closes it."""
        await self._group_commit.close()


def _lane_order(numbered: tuple[int, LeaseRequest]) -> LaneId:
    return numbered[1].lane_id
