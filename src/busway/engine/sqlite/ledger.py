"""The ledger as one SQLite file; what many lanes write at a time is one transaction."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import takewhile
from pathlib import Path
from typing import TypeVar

import apsw

from busway.conservation import check_settlement, check_verdict
from busway.engine.sqlite import keeping, settling
from busway.engine.sqlite.aside import Aside
from busway.engine.sqlite.checkpoint import Checkpointer
from busway.engine.sqlite.database import Row, connect, connect_reading, rows, sql, translated
from busway.engine.sqlite.moment import stored
from busway.engine.sqlite.question import grouped, is_long, question
from busway.engine.sqlite.row import ROWS
from busway.engine.sqlite.writer import Writer
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

T = TypeVar("T")


class SqliteLedger:
    """Writes in one thread, in groups; reads where it is called, on a connection of its own."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = connect_reading(path)
        self._checkpointer = Checkpointer(path)
        self._writer = Writer(connect(path), path)
        self._aside = Aside(path)

    async def lanes(self) -> Sequence[Lane]:
        return self._rows("ledger/lanes", (), ROWS.lane)

    async def open_lane(self, flow: str, partition: int, start: int) -> Lane:
        def work(connection: apsw.Connection) -> Lane:
            connection.execute(sql("ledger/open_lane"), (flow, partition, start))
            return ROWS.lane(rows(connection, "ledger/get_lane", (flow, partition))[0])

        return await self._writer.submit(work)

    async def lease(
        self, leases: Sequence[Lease], changes: Sequence[Change] = ()
    ) -> Sequence[int | None]:
        def work(connection: apsw.Connection) -> list[int | None]:
            if not keeping.change(connection, changes):
                return [None] * len(leases)
            return [settling.lease(connection, each) for each in leases]

        return await self._writer.submit(work)

    async def rename_flow(self, old: str, new: str, audit: Sequence[Audit] = ()) -> bool:
        return await self._writer.submit(
            lambda connection: keeping.rename(connection, old, new, audit)
        )

    async def remove_flow(self, flow: str, audit: Sequence[Audit] = ()) -> bool:
        return await self._writer.submit(lambda connection: keeping.remove(connection, flow, audit))

    async def settle(
        self, settlements: Sequence[Settlement], changes: Sequence[Change] = ()
    ) -> Sequence[bool]:
        for settlement in settlements:
            check_settlement(settlement)

        def work(connection: apsw.Connection) -> list[bool]:
            applied = [settling.settle(connection, each) for each in settlements]
            if changes and all(applied):
                keeping.change(connection, changes)
            return applied

        return await self._writer.submit(work)

    async def judge(
        self,
        verdicts: Sequence[Verdict],
        audit: Sequence[Audit] = (),
        changes: Sequence[Change] = (),
    ) -> Sequence[bool]:
        for verdict in verdicts:
            check_verdict(verdict)

        def work(connection: apsw.Connection) -> list[bool]:
            if not keeping.change(connection, changes):
                return [False] * len(verdicts)
            applied = settling.judge(connection, verdicts)
            if any(applied):
                keeping.note(connection, audit)
            return applied

        return await self._writer.submit(work)

    async def troubles(self, query: Query) -> Sequence[Trouble]:
        statement, bindings = question(query)
        if is_long(query):
            return [ROWS.trouble(one) for one in await self._aside.rows(statement, bindings)]
        with self._told():
            return [ROWS.trouble(found) for found in self._connection.execute(statement, bindings)]

    async def groups(self, query: Query) -> Sequence[Group]:
        statement, bindings = grouped(query)
        found = await self._aside.rows(statement, bindings)
        return [ROWS.group(each) for each in found]

    async def due_flows(self, by: datetime) -> Collection[str]:
        return set(self._rows("ledger/due_flows", (stored(by),), lambda found: str(found[0])))

    async def parked_keys(self, flow: str, partition: int) -> Mapping[str, int]:
        return dict(self._rows("ledger/parked_keys", (flow, partition), lambda found: found))

    async def settled(self, flow: str, partition: int | None = None) -> Sequence[Settled]:
        return self._rows("ledger/get_settled", (flow, partition), ROWS.settled)

    async def resolved(self, event_id: str) -> Sequence[Resolved]:
        return self._rows("ledger/get_resolved", (event_id,), ROWS.resolved)

    async def forget(self, before: datetime) -> None:
        while await self._writer.submit(lambda connection: keeping.forget(connection, before)):
            pass

    async def put(self, name: str, value: bytes) -> None:
        await self.change([Change(name, value)])

    async def get(self, prefix: str) -> Mapping[str, bytes]:
        found = self._connection.execute(sql("ledger/get"), (prefix,))
        with self._told(), contextlib.closing(found):
            return dict(takewhile(lambda named: named[0].startswith(prefix), found))

    async def count_troubles(self) -> Mapping[tuple[str, int], tuple[int, int]]:
        # every row is looked at, so not on the loop
        found = await self._aside.rows(sql("ledger/count_troubles"))
        return {(flow, partition): (parked, dead) for flow, partition, parked, dead in found}

    async def change(self, changes: Sequence[Change], audit: Sequence[Audit] = ()) -> bool:
        def work(connection: apsw.Connection) -> bool:
            if done := keeping.change(connection, changes):
                keeping.note(connection, audit)
            return done

        return await self._writer.submit(work)

    async def audits(
        self, target: str = "", before: int | None = None, limit: int = 100
    ) -> Sequence[Audit]:
        return self._rows("ledger/audits", (target, before, limit), ROWS.audit)

    async def maintain(self) -> None:
        await self._checkpointer.maintain()

    async def close(self) -> None:
        self._connection.close()
        self._aside.close()
        await self._writer.close()
        await self._checkpointer.close()

    def _rows(self, name: str, bindings: Row, made: Callable[[Row], T]) -> list[T]:
        with self._told():
            return [made(found) for found in rows(self._connection, name, bindings)]

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except apsw.Error as error:
            raise translated(error, self._path) from error
