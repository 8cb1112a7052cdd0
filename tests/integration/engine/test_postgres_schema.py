"""The tables in PostgreSQL are taken forward: once, wholly or not at all, with what is in them."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest

from busway.engine.postgres import PostgresLedger, PostgresLog
from busway.engine.postgres.database import Database
from busway.engine.postgres.schema import VERSION, migrate
from busway.errors import StoreError, StoreTooNew
from busway.lane import Counts, FailedEventQuery, LeaseRequest, Settlement
from busway.ports import NewBatch
from busway.testing.ledger_record_suite import assert_conserved
from delivery_node import until
from postgres_server import PostgresServer

AT = datetime(2030, 1, 1, tzinfo=UTC)
HERE = Path(__file__).parent
SCHEMA = "busway"
IDENTITY = "01493553-1197-4d3a-97a2-e6b7dfa09a02"
PREPARE = """
import asyncio, sys
from busway.engine.postgres import way
from busway.engine.postgres.schema import prepare
way.IDLE_MS = 600_000  # the server by itself does not end what waits for its client
asyncio.run(prepare(sys.argv[1], "busway", 2))
"""
SHAPE = """
SELECT relname, relkind, reloptions, attname, atttypid::regtype::text, attstorage, attnotnull,
    pg_get_expr(adbin, adrelid), pg_get_indexdef(pg_class.oid)
FROM pg_class LEFT JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped
LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
WHERE relnamespace = 'busway'::regnamespace ORDER BY relname, attname
"""


@pytest.fixture
async def url(server: PostgresServer) -> str:
    return await server.fresh_database()


@pytest.fixture
async def session(url: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    connection = await asyncpg.connect(url)
    yield connection
    await connection.close()


@pytest.fixture(params=range(1, VERSION))
async def before(request: pytest.FixtureRequest, url: str) -> str:
    """A database with the tables of an earlier version, and what was in them."""
    connection = await asyncpg.connect(url)
    await connection.execute((HERE / "postgres_version_1.sql").read_text())
    await connection.close()
    await migrate(url, SCHEMA, 2, version=request.param)
    return url


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
    found = await session.fetchval("SELECT value FROM busway.meta WHERE name = 'version'")
    return int(found)


async def test_what_was_there_before_is_there_after(before: str) -> None:
    assert await migrate(before, SCHEMA, 9) == IDENTITY
    async with stores(before, IDENTITY) as (log, ledger):
        assert log.partitions == 2
        assert [await log.bounds(p) for p in (0, 1)] == [(2, 6), (0, 2)]
        kept = [(b.offset, len(b.events)) for b in await log.read(0, 0, 10_000)]
        assert kept == [(2, 3), (5, 1)]
        assert b'"id":"5"' in (await log.read(0, 5, 1))[0].events[0]
        lanes = {(one.flow, one.partition): one for one in await ledger.lanes()}
        assert list(lanes) == [("another", 0), ("another", 1), ("orders", 0), ("orders", 1)]
        assert lanes["orders", 0].counts == Counts(delivered=2, parked=2, dead=1)
        troubles = await ledger.failed_events(FailedEventQuery(flow="orders"))
        assert [(one.state, one.key) for one in troubles] == [
            ("dead", None),
            ("parked", "k"),
            ("parked", "k"),
        ]
        assert (troubles[0].failures[0].error, troubles[0].attempts) == ("KeyError", 1)
        assert await ledger.get_values("flow/") == {"flow/orders": b'{"paused":true}'}
        assert [one.outcome for one in await ledger.resolved_events("0")] == ["discarded"]
        assert [one.actor for one in await ledger.audit_records()] == ["bob", "ann"]
        assert len(await ledger.settled_ranges("orders")) == 3
        await assert_conserved(ledger)


async def test_it_goes_on_where_it_was(before: str) -> None:
    identity = await migrate(before, SCHEMA, 2)
    async with stores(before, identity) as (log, ledger):
        assert list(await log.append([NewBatch(0, [b"{}"])], AT + timedelta(hours=1))) == [6]
        assert await log.trim(0, 5) == 3
        late = Settlement("orders", 0, 5, 7, AT, "v2", Counts(delivered=2), (), 1)
        assert await ledger.settle([late]) == [True]
        assert await ledger.lease([LeaseRequest("orders", 1, 1, "w9")]) == [2]
        await assert_conserved(ledger)


async def test_tables_taken_forward_are_like_new_ones(
    before: str, server: PostgresServer, session: asyncpg.Connection[asyncpg.Record]
) -> None:
    await migrate(before, SCHEMA, 2)
    forward = await session.fetch(SHAPE)
    await session.execute("DROP SCHEMA busway CASCADE")
    await migrate(before, SCHEMA, 2)
    new = await session.fetch(SHAPE)
    assert len(new) > 50
    assert [tuple(row) for row in forward] == [tuple(row) for row in new]


async def test_several_at_once_take_them_forward_once(
    before: str, session: asyncpg.Connection[asyncpg.Record]
) -> None:
    found = await asyncio.gather(*(migrate(before, SCHEMA, 2) for _ in range(8)))
    assert set(found) == {IDENTITY}
    assert await version(session) == VERSION


async def test_an_interrupted_step_leaves_the_version_before(
    before: str, session: asyncpg.Connection[asyncpg.Record]
) -> None:
    options = "SELECT reloptions FROM pg_class WHERE oid = 'busway.batch'::regclass"
    earlier = (await version(session), await session.fetchval(options))
    async with session.transaction():
        await session.execute("LOCK TABLE busway.failed_event IN SHARE UPDATE EXCLUSIVE MODE")
        taking = asyncio.create_task(migrate(before, SCHEMA, 2))
        pid = await waiting(before)
        await session.execute("SELECT pg_terminate_backend($1)", pid)
        with pytest.raises(StoreError, match="cannot be used now"):
            await taking
    assert (await version(session), await session.fetchval(options)) == earlier
    assert await migrate(before, SCHEMA, 2) == IDENTITY
    assert await version(session) == VERSION


async def test_one_that_stands_still_in_a_step_does_not_stop_the_workers(
    before: str, session: asyncpg.Connection[asyncpg.Record]
) -> None:
    async with stores(before, IDENTITY) as (_, ledger):
        holding = session.transaction()
        await holding.start()
        await session.execute("LOCK TABLE busway.resolved_event, busway.failed_event IN SHARE MODE")
        taking = preparing(before)
        try:
            await waiting(before)
            taking.send_signal(signal.SIGSTOP)
            await holding.rollback()
            assert len(await ledger.failed_events(FailedEventQuery(flow="orders"))) == 3
        finally:
            taking.kill()
            taking.wait()


def preparing(url: str) -> subprocess.Popen[bytes]:
    """Start another process that takes the tables forward."""
    return subprocess.Popen([sys.executable, "-c", PREPARE, url])


async def waiting(url: str) -> int:
    """Wait until somebody waits for a lock on a table; return the process at the server."""
    watcher = await asyncpg.connect(url)
    pids: list[int] = []

    async def found() -> bool:
        rows = await watcher.fetch(
            "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            " AND wait_event = 'relation' AND datname = current_database()"
        )
        pids[:] = [row["pid"] for row in rows]
        return bool(pids)

    await until(found)
    await watcher.close()
    return pids[0]


async def test_workers_of_the_version_before_go_on_meanwhile(
    before: str, session: asyncpg.Connection[asyncpg.Record]
) -> None:
    async with stores(before, IDENTITY) as (log, ledger):
        done = asyncio.Event()

        async def work() -> int:
            cursor = 0
            while not done.is_set() or cursor < 20:
                await log.append([NewBatch(1, [b"{}"])], AT)
                one = Settlement("another", 1, cursor, cursor + 1, AT, "v1", Counts(1))
                assert await ledger.settle([one]) == [True]
                cursor += 1
            return cursor

        working = asyncio.create_task(work())
        await migrate(before, SCHEMA, 2)
        done.set()
        assert await working >= 20
        assert await version(session) == VERSION
        await assert_conserved(ledger)


async def test_tables_that_are_not_as_they_were_stop_an_older_worker(
    url: str, session: asyncpg.Connection[asyncpg.Record]
) -> None:
    identity = await migrate(url, SCHEMA, 1)
    async with stores(url, identity) as (_, ledger):
        await ledger.open_lane("f", 0, 0)
        await session.execute("ALTER TABLE busway.lane RENAME TO lane_3")
        with pytest.raises(StoreTooNew, match="of another version than this Busway"):
            await ledger.lanes()


async def test_a_user_that_may_make_nothing_can_use_what_is_there(
    url: str, session: asyncpg.Connection[asyncpg.Record]
) -> None:
    identity = await migrate(url, SCHEMA, 1)
    name = f"u{uuid.uuid4().hex}"
    await session.execute(
        f"CREATE ROLE {name} LOGIN; GRANT USAGE ON SCHEMA busway TO {name};"
        f" GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA busway TO {name}"
    )
    assert await migrate(url.replace("postgres@", f"{name}@"), SCHEMA, 1) == identity


async def test_a_version_that_is_not_known_is_refused(
    url: str, session: asyncpg.Connection[asyncpg.Record]
) -> None:
    await migrate(url, SCHEMA, 1)
    await session.execute("UPDATE busway.meta SET value = '99' WHERE name = 'version'")
    with pytest.raises(StoreTooNew, match=r"version 99 and this Busway knows \d+; upgrade"):
        await migrate(url, SCHEMA, 1)
    assert await version(session) == 99
