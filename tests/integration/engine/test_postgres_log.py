"""Many processes append to one log in PostgreSQL: offsets stay dense, and nobody misses a batch."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import asyncpg
import pytest

from busway.engine.postgres import PostgresLog
from busway.engine.postgres.connection_limit import WORK_CONNECTIONS
from busway.engine.postgres.database import Database
from busway.engine.postgres.schema import migrate
from busway.errors import StoreError
from busway.ports import NewBatch
from delivery_node import DEADLINE_S, until
from log_appenders import all_is_read, follow
from postgres_server import PostgresServer

AT = datetime(2030, 1, 1, tzinfo=UTC)
PARTITIONS = 2


@asynccontextmanager
async def log_of(
    url: str, schema: str, connections: int = WORK_CONNECTIONS
) -> AsyncIterator[PostgresLog]:
    """Open a log as one process of many does."""
    identity = await migrate(url, schema, PARTITIONS)
    database = await Database.open(url, schema, max_connections=connections)
    log = await PostgresLog.open(database, identity)
    try:
        yield log
    finally:
        await log.close()
        await database.close()


async def test_no_batch_is_missed_while_many_append(server: PostgresServer) -> None:
    async with (
        log_of(server.dsn, "many") as first,
        log_of(server.dsn, "many") as second,
        log_of(server.dsn, "many") as reader,
    ):
        await all_is_read([first, second, first, second], [reader], rounds=60)


async def test_the_default_isolation_of_a_database_is_not_used(
    server: PostgresServer,
) -> None:
    url = await server.fresh_database()
    connection = await asyncpg.connect(url)
    name = url.rpartition("/")[2]
    isolation = "SET default_transaction_isolation = 'repeatable read'"
    await connection.execute(f"ALTER DATABASE {name} {isolation}")
    await connection.close()
    found = await asyncio.gather(*(migrate(url, "strict", PARTITIONS) for _ in range(6)))
    assert len(set(found)) == 1
    async with log_of(url, "strict") as first, log_of(url, "strict") as second:
        await all_is_read([first, second], [first], rounds=30)


async def test_an_abandoned_append_cannot_take_effect_later(server: PostgresServer) -> None:
    async with log_of(server.dsn, "late") as log, log_of(server.dsn, "late") as other:
        blocker = await asyncpg.connect(server.dsn)
        await blocker.execute("BEGIN; SELECT * FROM late.partition FOR UPDATE")
        given_up = asyncio.create_task(log.append([NewBatch(0, [b"old"])], AT))
        pid = await waiting_for_a_lock(server)
        await blocker.execute("SELECT pg_terminate_backend($1)", pid)
        with pytest.raises(StoreError, match="terminating connection"):
            await given_up
        await blocker.execute("COMMIT")
        await blocker.close()
        assert list(await log.append([NewBatch(0, [b"new"])], AT)) == [0]
        assert [list(batch.events) for batch in await other.read(0, 0, 100)] == [[b"new"]]


async def test_an_abandoned_append_that_succeeded_is_known_before_the_next_read(
    server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # over its only connection a second append is sent at once: the first has prepared it
    async with log_of(server.dsn, "certain", connections=1) as log:
        await log.append([NewBatch(0, [b"quick"])], AT)
        blocker = await asyncpg.connect(server.dsn)
        await blocker.execute("BEGIN; SELECT * FROM certain.partition FOR UPDATE")
        with monkeypatch.context() as impatient:
            impatient.setattr("busway.engine.postgres.database.QUICK_TIMEOUT_S", 0.5)
            with pytest.raises(StoreError, match="cannot be used now"):
                await log.append([NewBatch(0, [b"slow"])], AT)
        await waiting_for_a_lock(server)  # nothing was cancelled at the server
        reading = [asyncio.create_task(log.read(0, 1, 100)) for _ in range(3)]
        await waiting_for_a_lock(server, "%INTO appender%now()%")
        await blocker.execute("COMMIT")
        await blocker.close()
        for found in await asyncio.gather(*reading):
            assert [list(batch.events) for batch in found] == [[b"slow"]]
        assert list(await log.append([NewBatch(0, [b"next"])], AT)) == [2]


async def test_an_older_sequence_number_does_nothing(server: PostgresServer) -> None:
    async with log_of(server.dsn, "turns") as log:
        await log.append([NewBatch(0, [b"a"])], AT)
        log._append_sequence._sequence -= 1
        with pytest.raises(StoreError, match="too late"):
            await log.append([NewBatch(0, [b"zombie"])], AT)
        assert await log.bounds(0) == (0, 1)


async def test_many_processes_migrate_at_once(server: PostgresServer) -> None:
    found = await asyncio.gather(*(migrate(server.dsn, "once", 3) for _ in range(6)))
    assert len(set(found)) == 1


async def test_a_restart_of_the_server_is_survived(server: PostgresServer) -> None:
    async with log_of(server.dsn, "restart") as log, log_of(server.dsn, "restart") as reader:
        await log.append([NewBatch(0, [b"a"])], AT)
        assert await follow(reader, 0, 1) == [b"a"]
        waiting = asyncio.create_task(reader.wait(0, 1))
        server.stop(immediate=True)
        with pytest.raises(StoreError, match="cannot be used now"):
            await log.append([NewBatch(0, [b"lost"])], AT)
        server.start()
        async with asyncio.timeout(DEADLINE_S):
            await appended_in_the_end(log)
            await waiting
            assert (await follow(reader, 0, 2))[-1] == b"b"


@asynccontextmanager
async def losing(server: PostgresServer, schema: str, end: int) -> AsyncIterator[None]:
    """Have a log be as it was before, as a failover to a standby does that was behind.

    So it is once the block has ended; what is appended before that waits for it.
    """
    connection = await asyncpg.connect(server.dsn)
    try:
        async with connection.transaction():
            await connection.execute(f'DELETE FROM {schema}.batch WHERE "offset" >= {end}')
            await connection.execute(
                f'UPDATE {schema}.partition SET "end" = {end} WHERE partition = 0'
            )
            yield
    finally:
        await connection.close()


async def test_offsets_that_a_failover_took_back_are_not_given_to_readers_again(
    server: PostgresServer,
) -> None:
    async with log_of(server.dsn, "lossy") as log, log_of(server.dsn, "lossy") as reader:
        await log.append([NewBatch(0, [b"kept"])], AT)
        await log.append([NewBatch(0, [b"lost"])], AT)
        await reader.wait(0, 1)
        async with losing(server, "lossy", 1):
            pass
        assert await reader.read(0, 1, 100) == []
        assert await reader.bounds(0) == (0, 2)
        assert await log.append([NewBatch(0, [b"new"])], AT) == [2]
        async with asyncio.timeout(DEADLINE_S):
            await reader.wait(0, 2)
        assert [list(one.events) for one in await reader.read(0, 1, 100)] == [[b"new"]]


async def test_an_append_that_gets_offsets_which_were_given_before_is_refused(
    server: PostgresServer,
) -> None:
    async with log_of(server.dsn, "lossy2") as log:
        for event in (b"kept", b"lost", b"lost", b"lost"):
            await log.append([NewBatch(0, [event])], AT)
        async with losing(server, "lossy2", 1):  # before it is noticed by looking
            appending = asyncio.create_task(log.append([NewBatch(0, [b"new"])], AT))
            await waiting_for_a_lock(server)
        with pytest.raises(StoreError, match=r"has lost acknowledged events.*send the events ag"):
            await appending
        assert await log.append([NewBatch(0, [b"new"])], AT) == [4]
        assert await log.bounds(0) == (0, 5)


async def test_a_reader_notices_that_a_failover_lost_events(server: PostgresServer) -> None:
    async with log_of(server.dsn, "lossy3") as log, log_of(server.dsn, "lossy3") as reader:
        await log.append([NewBatch(0, [b"lost"] * 3)], AT)
        await reader.wait(0, 2)
        waiting = asyncio.create_task(reader.wait(0, 3))
        async with losing(server, "lossy3", 0):
            pass
        async with asyncio.timeout(DEADLINE_S), log_of(server.dsn, "lossy3") as fresh:

            async def goes_on() -> bool:
                return (await fresh.bounds(0))[1] == 3

            await until(goes_on)
            assert await fresh.append([NewBatch(0, [b"new"])], AT) == [3]
            await waiting


async def appended_in_the_end(log: PostgresLog) -> None:
    while True:
        try:
            await log.append([NewBatch(0, [b"b"])], AT)
        except StoreError:
            await asyncio.sleep(0.05)
        else:
            return


async def waiting_for_a_lock(server: PostgresServer, statement: str = "%noted%") -> int:
    """Wait until a statement waits for a lock; return the process at the server."""
    connection = await asyncpg.connect(server.dsn)
    pids: list[int] = []

    async def waits() -> bool:
        rows = await connection.fetch(
            "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE $1",
            statement,
        )
        pids[:] = [row["pid"] for row in rows]
        return bool(pids)

    await until(waits)
    await connection.close()
    return pids[0]
