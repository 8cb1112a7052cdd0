"""The tables in PostgreSQL: created once, migrated wholly or not at all, refused if unknown."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import asyncpg
import pytest

from busway.engine.postgres import PostgresLedger, PostgresLog
from busway.engine.postgres.database import Database
from busway.engine.postgres.move import target_state
from busway.engine.postgres.schema import is_initialized, migrate, migrations
from busway.errors import StoreError, StoreTooNew, StoreTooOld
from busway.failed_event import FailedEventQuery
from busway.lane import Counts, LeaseRequest
from busway.ports import NewBatch
from busway.settlement import Settlement
from busway.testing.ledger_record_suite import assert_conserved
from delivery_node import until
from postgres_server import PostgresServer

AT = datetime(2030, 1, 1, tzinfo=UTC)
SCHEMA = "busway"
VERSION = max(migrations())
NEXT_VERSION = VERSION + 1
NEXT_STEP = (
    "ALTER TABLE batch SET (autovacuum_vacuum_threshold = 600)",
    "ALTER TABLE failed_event ADD COLUMN note text",
)
NEXT_MIGRATIONS = {**migrations(), NEXT_VERSION: NEXT_STEP}
"""The migrations of a later Busway, as far as this test knows them."""
MIGRATE = f"""
import asyncio, sys
from busway.driver.postgres import connector
from busway.engine.postgres.schema import migrate, migrations
# without this the server would terminate a stalled migration by itself
connector.IDLE_IN_TRANSACTION_TIMEOUT_MS = 600_000
steps = {{**migrations(), {NEXT_VERSION}: {NEXT_STEP!r}}}
asyncio.run(migrate(sys.argv[1], "busway", 2, steps))
"""
VERSION_4 = """
CREATE SCHEMA busway;
CREATE TABLE busway.meta (name text PRIMARY KEY, value text NOT NULL);
INSERT INTO busway.meta VALUES
    ('version', '4'), ('identity', '01493553-1197-4d3a-97a2-e6b7dfa09a02');
CREATE TABLE busway.lane (flow text, partition integer, start bigint, cursor bigint, worker text,
    epoch bigint NOT NULL DEFAULT 0, PRIMARY KEY (flow, partition));
CREATE TABLE busway.trouble (flow text, partition integer, "offset" bigint, event bytea,
    PRIMARY KEY (flow, partition, "offset"));
INSERT INTO busway.lane VALUES ('orders', 0, 0, 2, 'w1', 3);
INSERT INTO busway.trouble VALUES ('orders', 0, 1, '{}');
"""
"""Tables of version 4, as older versions created them."""


@pytest.fixture
async def url(server: PostgresServer) -> str:
    return await server.fresh_database()


@pytest.fixture
async def session(url: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    connection = await asyncpg.connect(url)
    yield connection
    await connection.close()


@pytest.fixture
async def identity(url: str) -> str:
    """Create the tables of this version, with a lane, in the database at ``url``."""
    identity = await migrate(url, SCHEMA, 2)
    async with stores(url, identity) as (log, ledger):
        await log.append([NewBatch(0, [b"{}", b"{}"])], AT)
        await ledger.open_lane("orders", 0, 0)
        settlement = Settlement("orders", 0, 0, 2, AT, "v1", Counts(delivered=2), ())
        assert await ledger.settle([settlement]) == [True]
    return identity


@asynccontextmanager
async def stores(url: str, identity: str) -> AsyncIterator[tuple[PostgresLog, PostgresLedger]]:
    database = await Database.open(url, SCHEMA)
    log = await PostgresLog.open(database, identity)
    try:
        yield log, PostgresLedger(database)
    finally:
        await log.close()
        await database.close()


async def version(session: asyncpg.Connection[asyncpg.Record]) -> int:
    value = await session.fetchval("SELECT value FROM busway.meta WHERE name = 'version'")
    return int(value)


async def test_processes_that_migrate_at_once_apply_a_step_once_and_keep_the_data(
    url: str, identity: str, session: asyncpg.Connection[asyncpg.Record]
) -> None:
    migrating = [migrate(url, SCHEMA, 9, NEXT_MIGRATIONS) for _ in range(8)]
    assert set(await asyncio.gather(*migrating)) == {identity}
    assert await version(session) == NEXT_VERSION
    async with stores(url, identity) as (log, ledger):
        assert log.partitions == 2
        assert await log.bounds(0) == (0, 2)
        assert [lane.counts for lane in await ledger.lanes()] == [Counts(delivered=2)]
        assert await ledger.lease([LeaseRequest("orders", 0, 0, "w9")]) == [1]
        await assert_conserved(ledger)


async def test_an_interrupted_step_leaves_the_version_before(
    url: str, identity: str, session: asyncpg.Connection[asyncpg.Record]
) -> None:
    options = "SELECT reloptions FROM pg_class WHERE oid = 'busway.batch'::regclass"
    earlier = (await version(session), await session.fetchval(options))
    async with session.transaction():
        await session.execute("LOCK TABLE busway.failed_event IN SHARE UPDATE EXCLUSIVE MODE")
        migrating = asyncio.create_task(migrate(url, SCHEMA, 2, NEXT_MIGRATIONS))
        pid = await waiting_pid(url)
        await session.execute("SELECT pg_terminate_backend($1)", pid)
        with pytest.raises(StoreError, match="cannot be used now"):
            await migrating
    assert (await version(session), await session.fetchval(options)) == earlier
    assert await migrate(url, SCHEMA, 2, NEXT_MIGRATIONS) == identity
    assert await version(session) == NEXT_VERSION


async def test_a_migration_that_stalls_does_not_stop_the_workers(
    url: str, identity: str, session: asyncpg.Connection[asyncpg.Record]
) -> None:
    async with stores(url, identity) as (_, ledger):
        blocker = session.transaction()
        await blocker.start()
        await session.execute("LOCK TABLE busway.resolved_event, busway.failed_event IN SHARE MODE")
        migrating = subprocess.Popen([sys.executable, "-c", MIGRATE, url])  # noqa: ASYNC220
        try:
            await waiting_pid(url)
            migrating.send_signal(signal.SIGSTOP)
            await blocker.rollback()
            assert await ledger.failed_events(FailedEventQuery(flow="orders")) == []
        finally:
            migrating.kill()
            migrating.wait()


async def waiting_pid(url: str) -> int:
    """Wait until a session waits for a lock on a table; return its process id at the server."""
    watcher = await asyncpg.connect(url)
    pids: list[int] = []

    async def is_waiting() -> bool:
        rows = await watcher.fetch(
            "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            " AND wait_event = 'relation' AND datname = current_database()"
        )
        pids[:] = [row["pid"] for row in rows]
        return bool(pids)

    await until(is_waiting)
    await watcher.close()
    return pids[0]


async def test_workers_of_the_version_before_continue_during_a_migration(
    url: str, identity: str, session: asyncpg.Connection[asyncpg.Record]
) -> None:
    async with stores(url, identity) as (log, ledger):
        done = asyncio.Event()
        await ledger.open_lane("another", 1, 0)

        async def work() -> int:
            cursor = 0
            while not done.is_set() or cursor < 20:
                await log.append([NewBatch(1, [b"{}"])], AT)
                settlement = Settlement("another", 1, cursor, cursor + 1, AT, "v1", Counts(1))
                assert await ledger.settle([settlement]) == [True]
                cursor += 1
            return cursor

        working = asyncio.create_task(work())
        await migrate(url, SCHEMA, 2, NEXT_MIGRATIONS)
        done.set()
        assert await working >= 20
        assert await version(session) == NEXT_VERSION
        await assert_conserved(ledger)


async def test_a_renamed_table_stops_an_older_worker(
    url: str, identity: str, session: asyncpg.Connection[asyncpg.Record]
) -> None:
    async with stores(url, identity) as (_, ledger):
        await session.execute("ALTER TABLE busway.lane RENAME TO lane_3")
        with pytest.raises(StoreTooNew, match="of another version than this Busway"):
            await ledger.lanes()


async def test_a_user_without_the_right_to_create_can_use_existing_tables(
    url: str, session: asyncpg.Connection[asyncpg.Record]
) -> None:
    identity = await migrate(url, SCHEMA, 1)
    name = f"u{uuid.uuid4().hex}"
    await session.execute(
        f"CREATE ROLE {name} LOGIN; GRANT USAGE ON SCHEMA busway TO {name};"
        f" GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA busway TO {name}"
    )
    assert await migrate(url.replace("postgres@", f"{name}@"), SCHEMA, 1) == identity


async def test_a_newer_version_is_refused_and_left_unchanged(
    url: str, session: asyncpg.Connection[asyncpg.Record]
) -> None:
    await migrate(url, SCHEMA, 1)
    await session.execute("UPDATE busway.meta SET value = '99' WHERE name = 'version'")
    for opening in (migrate(url, SCHEMA, 1), is_initialized(url), target_state(url)):
        with pytest.raises(
            StoreTooNew, match=r"tables of version 99 and this Busway reads version \d+; upgrade"
        ):
            await opening
    assert await version(session) == 99


async def test_an_older_version_is_refused_and_left_unchanged(
    url: str, session: asyncpg.Connection[asyncpg.Record]
) -> None:
    await session.execute(VERSION_4)
    tables = "SELECT array_agg(tablename ORDER BY 1) FROM pg_tables WHERE schemaname = 'busway'"
    before = await session.fetchval(tables)
    for opening in (migrate(url, SCHEMA, 1), is_initialized(url), target_state(url)):
        with pytest.raises(
            StoreTooOld,
            match=r"tables of version 4 and this Busway reads version 5; start with a new database",
        ):
            await opening
    assert await version(session) == 4
    assert await session.fetchval(tables) == before
