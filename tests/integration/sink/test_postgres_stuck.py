"""A worker that stands still in the middle of a load keeps others waiting for a moment only."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from busway.outcome import DELIVERED
from busway.ports import Load
from busway.sink.postgres import position
from busway.sink.postgres.error import EXPECTED_ERRORS
from busway.sink.postgres.session import PostgresSession
from busway.sinks import postgres
from command import DEADLINE_S
from delivery_node import until
from postgres_server import PostgresServer
from sink_load import KeptEvents, fresh, rows

FOR_EVER_S = 100 * DEADLINE_S
"""The time limit of each statement: it ends nothing here."""
WAITS = """SELECT 1 FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock'"""


class Standing:
    """A session that has the position of a load's lane locked, and stands still, also in a COPY."""

    def __init__(self, dsn: str, name: str, *, copies: bool = False) -> None:
        self.locked = asyncio.Event()
        self.goes_on = asyncio.Event()
        self._dsn = dsn
        self._name = name
        self._copies = copies

    async def stand(self, load: Load) -> None:
        connection = await asyncpg.connect(
            self._dsn, server_settings={"application_name": self._name}
        )
        try:
            async with connection.transaction():
                await position.lock_lane_position(connection, "public", load)
                if self._copies:
                    session = PostgresSession(connection, 60.0)
                    await session.stage("public.orders", 0)
                    await connection.copy_to_table(session.staging or "", source=self._nothing())
                self.locked.set()
                await self.goes_on.wait()
        finally:
            await connection.close()

    async def _nothing(self) -> AsyncIterator[bytes]:
        self.locked.set()
        await self.goes_on.wait()
        yield b""


@pytest.mark.parametrize("copies", [False, True], ids=["between-statements", "in-a-copy"])
async def test_who_stands_still_in_a_load_loses_it_and_nobody_else_does(
    server: PostgresServer, copies: bool
) -> None:
    dsn = await server.fresh_database()
    sink = postgres(dsn, "orders", create=True, timeout=FOR_EVER_S)
    destination = await sink.open(KeptEvents())
    other, worker = Standing(dsn, "psql"), Standing(dsn, "busway", copies=copies)
    loads = [fresh(rows(n, n + 1), partition=n) for n in range(3)]
    try:
        assert await destination.write(loads[0]) == [DELIVERED]
        with_another = asyncio.create_task(other.stand(loads[1]))
        await other.locked.wait()
        waiting = asyncio.create_task(destination.write(loads[1]))
        await until(lambda: some_wait(dsn), "it waits for somebody else")
        with_worker = asyncio.create_task(worker.stand(loads[2]))
        await worker.locked.wait()
        async with asyncio.timeout(DEADLINE_S):
            assert await destination.write(loads[2]) == [DELIVERED]
        worker.goes_on.set()
        with pytest.raises(EXPECTED_ERRORS):
            await with_worker
        assert not waiting.done(), "who has it is no worker, and may take as long as it wants"
        other.goes_on.set()
        await with_another
        assert await waiting == [DELIVERED]
    finally:
        worker.goes_on.set()
        other.goes_on.set()
        await destination.close()


async def some_wait(dsn: str) -> bool:
    connection = await asyncpg.connect(dsn)
    try:
        return bool(await connection.fetch(WAITS))
    finally:
        await connection.close()
