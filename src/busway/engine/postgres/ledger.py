"""The ledger in PostgreSQL; each method is one transaction."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from busway.conservation import check_settlement, check_verdict
from busway.engine.postgres import keeping, settling
from busway.engine.postgres.database import Database, fetch
from busway.engine.postgres.group import GroupCommit
from busway.engine.postgres.question import grouped, question
from busway.engine.postgres.row import ROWS
from busway.engine.postgres.silence import QUICK_S
from busway.lane import (
    Audit,
    Change,
    Group,
    Lane,
    Lease,
    Query,
    Resolved,
    Settled,
    Settlement,
    Trouble,
    Verdict,
)

_FORGOTTEN_AT_ONCE = 5_000


class PostgresLedger:
    """Serialises what concerns one lane by the lane's row; any number of processes may use it.

    Who lives and who works what goes over ``vital``, where it does not wait behind the work.
    """

    def __init__(self, database: Database, vital: Database | None = None) -> None:
        self._database = database
        self._vital = vital or database
        self._group = GroupCommit(database)

    async def lanes(self) -> Sequence[Lane]:
        return [ROWS.lane(one) for one in await self._vital.quick("ledger/lanes")]

    async def open_lane(self, flow: str, partition: int, start: int) -> Lane:
        while True:  # it shows neither way while another one that makes it commits
            found = await self._database.rows("ledger/open_lane", flow, partition, start)
            if found:
                return ROWS.lane(found[0])

    async def lease(
        self, leases: Sequence[Lease], changes: Sequence[Change] = ()
    ) -> Sequence[int | None]:
        epochs: list[int | None] = [None] * len(leases)
        async with self._vital.transaction(QUICK_S) as connection:
            if changes:
                await settling.lock(connection, leases)
                if not await keeping.change(connection, changes):
                    return epochs
            # in the order of all who lock several, so that nobody waits in a circle
            for number, one in sorted(enumerate(leases), key=_by_lane):
                given = (one.flow, one.partition, one.epoch, one.worker)
                found = await fetch(connection, "ledger/lease", *given)
                epochs[number] = found[0][0] if found else None
        return epochs

    async def rename_flow(self, old: str, new: str, audit: Sequence[Audit] = ()) -> bool:
        async with self._database.transaction() as connection:
            return await keeping.rename(connection, old, new, audit)

    async def remove_flow(self, flow: str, audit: Sequence[Audit] = ()) -> bool:
        async with self._database.transaction() as connection:
            return await keeping.remove(connection, flow, audit)

    async def settle(
        self, settlements: Sequence[Settlement], changes: Sequence[Change] = ()
    ) -> Sequence[bool]:
        for settlement in settlements:
            check_settlement(settlement)
        if len(settlements) == 1 and not settlements[0].troubles and not changes:
            return [await self._group.settle(settlements[0])]
        async with self._database.transaction(QUICK_S) as connection:
            if len(settlements) > 1:
                await settling.lock(connection, settlements)
            applied = [await settling.settle(connection, each) for each in settlements]
            if changes and all(applied):
                await keeping.change(connection, changes)
            return applied

    async def judge(
        self,
        verdicts: Sequence[Verdict],
        audit: Sequence[Audit] = (),
        changes: Sequence[Change] = (),
    ) -> Sequence[bool]:
        for verdict in verdicts:
            check_verdict(verdict)
        async with self._database.transaction() as connection:
            await settling.lock(connection, verdicts)
            if not await keeping.change(connection, changes):
                return [False] * len(verdicts)
            applied = await settling.judge(connection, verdicts)
            if any(applied):
                await keeping.note(connection, audit)
            return applied

    async def troubles(self, query: Query) -> Sequence[Trouble]:
        statement, values = question(query)
        return [ROWS.trouble(one) for one in await self._database.query(statement, *values)]

    async def groups(self, query: Query) -> Sequence[Group]:
        statement, values = grouped(query)
        return [ROWS.group(one) for one in await self._database.query(statement, *values)]

    async def count_troubles(self) -> Mapping[tuple[str, int], tuple[int, int]]:
        found = await self._database.rows("ledger/count_troubles")
        return {(flow, partition): (parked, dead) for flow, partition, parked, dead in found}

    async def due_flows(self, by: datetime) -> Collection[str]:
        return {str(flow) for (flow,) in await self._database.rows("ledger/due_flows", by)}

    async def parked_keys(self, flow: str, partition: int) -> Mapping[str, int]:
        found = await self._database.rows("ledger/parked_keys", flow, partition)
        return {str(key): int(count) for key, count in found}

    async def settled(self, flow: str, partition: int | None = None) -> Sequence[Settled]:
        found = await self._database.rows("ledger/settled", flow, partition)
        return [ROWS.settled(one) for one in found]

    async def resolved(self, event_id: str) -> Sequence[Resolved]:
        return [ROWS.resolved(o) for o in await self._database.rows("ledger/resolved", event_id)]

    async def forget(self, before: datetime) -> None:
        gone = _FORGOTTEN_AT_ONCE
        while gone == _FORGOTTEN_AT_ONCE:
            given = (before, _FORGOTTEN_AT_ONCE)
            ((gone,),) = await self._database.rows("ledger/forget_resolved", *given)
        await self._database.rows("ledger/merge_settled", before)

    async def put(self, name: str, value: bytes) -> None:
        await self._vital.quick("ledger/put", name, value)

    async def get(self, prefix: str) -> Mapping[str, bytes]:
        found = await self._vital.quick("ledger/get", prefix)
        return {str(name): bytes(value) for name, value in found}

    async def change(self, changes: Sequence[Change], audit: Sequence[Audit] = ()) -> bool:
        async with self._vital.transaction(QUICK_S) as connection:
            done = await keeping.change(connection, changes)
            if done:
                await keeping.note(connection, audit)
            return done

    async def audits(
        self, target: str = "", before: int | None = None, limit: int = 100
    ) -> Sequence[Audit]:
        found = await self._database.rows("ledger/audits", target, before, limit)
        return [ROWS.audit(one) for one in found]

    async def close(self) -> None:
        """Write nothing more; the database is closed by whoever opened it."""
        await self._group.close()


def _by_lane(numbered: tuple[int, Lease]) -> tuple[str, int]:
    return numbered[1].flow, numbered[1].partition
