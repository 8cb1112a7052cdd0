"""Settlements of many lanes share commits, and each is applied by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime

import asyncpg
import pytest

from busway.engine.postgres import PostgresLedger
from busway.engine.postgres.connection_limit import WORK_CONNECTIONS
from busway.engine.postgres.database import Database, fetch
from busway.engine.postgres.schema import SCHEMA, migrate
from busway.engine.postgres.settlement_group import MAX_TRANSACTIONS
from busway.errors import StoreError
from busway.lane import Counts, LeaseRequest
from busway.settlement import Settlement
from delivery_node import until
from postgres_server import PostgresServer

AT = datetime(2030, 1, 1, tzinfo=UTC)
LANES = 300


@pytest.fixture
async def database(server: PostgresServer) -> AsyncIterator[Database]:
    await migrate(server.dsn, SCHEMA, 1)
    found = await Database.open(server.dsn, SCHEMA)
    yield found
    await found.fetch_sql("DELETE FROM lane")
    await found.fetch_sql("DELETE FROM settled_range")
    await found.close()


def settlement(lane: str, start: int = 0, *, fencing_token: int = 0) -> Settlement:
    return Settlement(
        lane, 0, start, start + 3, AT, "v1", Counts(delivered=2, filtered=1), (), fencing_token
    )


async def made(ledger: PostgresLedger, count: int) -> Sequence[str]:
    names = [f"flow_{number:03}" for number in range(count)]
    for name in names:
        await ledger.open_lane(name, 0, 0)
    return names


async def settled(ledger: PostgresLedger, asked: Sequence[Settlement]) -> list[bool]:
    """Settle all at a time, each by a call of its own."""
    answers = await asyncio.gather(*(ledger.settle([one]) for one in asked))
    return [applied for (applied,) in answers]


async def test_many_lanes_that_settle_at_once_share_commits(database: Database) -> None:
    ledger = PostgresLedger(database)
    names = await made(ledger, LANES)
    assert all(await settled(ledger, [settlement(name) for name in names]))
    assert all(await settled(ledger, [settlement(name, 3) for name in names]))
    ((transactions,),) = await database.fetch_sql("SELECT count(DISTINCT xmin::text) FROM lane")
    assert transactions <= 2 * MAX_TRANSACTIONS
    for lane in await ledger.lanes():
        assert (lane.cursor, lane.counts) == (6, Counts(delivered=4, filtered=2))
        (range_,) = await ledger.settled_ranges(lane.flow)
        assert (range_.start, range_.end, range_.counts) == (0, 6, lane.counts)


async def test_each_settlement_of_a_group_is_applied_alone(database: Database) -> None:
    ledger = PostgresLedger(database)
    names = await made(ledger, 40)
    await ledger.lease([LeaseRequest(name, 0, 0, "w") for name in names[:10]])
    asked = [
        settlement(name, start=1 if number in (20, 21) else 0) for number, name in enumerate(names)
    ]
    asked += [settlement("nobody's"), settlement(names[5], fencing_token=1)]
    fine = [number not in (20, 21) for number in range(10, 40)]
    assert await settled(ledger, asked) == [False] * 10 + fine + [False, True]
    assert sorted(await settled(ledger, [settlement(names[30], 3)] * 2)) == [False, True]
    cursors = {lane.flow: lane.cursor for lane in await ledger.lanes()}
    assert cursors[names[30]] == 6
    assert [cursors[name] for name in names[:10]] == [3 if n == 5 else 0 for n in range(10)]


async def test_a_locked_lane_makes_few_others_wait(
    server: PostgresServer, database: Database
) -> None:
    ledger = PostgresLedger(database)
    names = await made(ledger, LANES)
    holder = await asyncpg.connect(server.dsn, server_settings={"search_path": SCHEMA})
    try:
        async with holder.transaction():
            await fetch(holder, "ledger/lock_lanes", [names[0]], [0])
            held = asyncio.create_task(ledger.settle([settlement(names[0])]))
            await asyncio.wait([held], timeout=0)
            assert all(await settled(ledger, [settlement(name) for name in names[1:]]))
            assert not held.done()
        assert await held == [True]
    finally:
        await holder.close()


async def test_a_failed_commit_reaches_all_callers_of_its_group(
    server: PostgresServer, database: Database
) -> None:
    ledger = PostgresLedger(database)
    names = await made(ledger, 20)
    await database.fetch_sql("ALTER TABLE lane RENAME TO lane_away")
    try:
        asked = [ledger.settle([settlement(name)]) for name in names]
        answers = await asyncio.gather(*asked, return_exceptions=True)
    finally:
        await database.fetch_sql("ALTER TABLE lane_away RENAME TO lane")
    assert [isinstance(one, StoreError) for one in answers] == [True] * 20
    assert all(await settled(ledger, [settlement(name) for name in names]))


async def test_a_damaged_lane_does_not_stop_the_others_of_its_group(database: Database) -> None:
    ledger = PostgresLedger(database)
    names = await made(ledger, 20)
    await database.fetch_sql(
        "INSERT INTO settled_range VALUES ($1, 0, 0, 9, 'v0', now(), now(), 9, 0, 0, 0, 0)",
        names[3],
    )
    asked = [ledger.settle([settlement(name)]) for name in names]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert isinstance(answers[3], StoreError)
    assert [one for number, one in enumerate(answers) if number != 3] == [[True]] * 19


async def test_heartbeats_and_leases_do_not_wait_behind_the_work(
    server: PostgresServer, database: Database
) -> None:
    vital = await Database.open(server.dsn, SCHEMA, max_connections=1)
    ledger = PostgresLedger(database, vital)
    (name,) = await made(ledger, 1)
    asleep = [
        asyncio.create_task(database.fetch_sql("SELECT pg_sleep(60)"))
        for _ in range(WORK_CONNECTIONS)
    ]
    try:
        await until(lambda: _asleep(vital))
        await ledger.put_value("worker/w", b"1")
        assert await ledger.lease([LeaseRequest(name, 0, 0, "w")]) == [1]
        assert await ledger.get_values("worker/") == {"worker/w": b"1"}
        assert [lane.worker for lane in await ledger.lanes()] == ["w"]
        assert not any(one.done() for one in asleep)
    finally:
        for one in asleep:
            one.cancel()
        await asyncio.gather(*asleep, return_exceptions=True)
        await vital.fetch_sql("DELETE FROM named_value")
        await vital.close()


async def _asleep(database: Database) -> bool:
    query = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'"
    ((count,),) = await database.fetch_sql(query)
    return bool(count == WORK_CONNECTIONS)
