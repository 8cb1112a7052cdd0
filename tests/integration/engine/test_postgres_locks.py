"""Whoever changes several lanes, or a named value, waits for others in one order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime

import pytest

from busway.engine.postgres import PostgresLedger
from busway.engine.postgres.database import Database, fetch
from busway.engine.postgres.schema import SCHEMA, prepare
from busway.lane import Change, Counts, Lease, Settlement
from delivery_node import until
from postgres_server import PostgresServer

AT = datetime(2030, 1, 1, tzinfo=UTC)
LANES = 300


@pytest.fixture
async def database(server: PostgresServer) -> AsyncIterator[Database]:
    url = await server.fresh_database()
    await prepare(url, SCHEMA, 1)
    found = await Database.open(url, SCHEMA)
    yield found
    await found.close()


@pytest.fixture
async def names(database: Database) -> Sequence[str]:
    ledger = PostgresLedger(database)
    found = [f"flow_{number:03}" for number in range(LANES)]
    for name in found:
        await ledger.open_lane(name, 0, 0)
    return found


def leases(names: Sequence[str], worker: str) -> list[Lease]:
    return [Lease(name, 0, 0, worker) for name in names]


async def test_workers_that_take_the_same_lanes_in_any_order_each_get_an_answer(
    database: Database, names: Sequence[str]
) -> None:
    ledger = PostgresLedger(database)
    upward, downward = await asyncio.gather(
        ledger.lease(leases(names, "a")), ledger.lease(leases(names[::-1], "b"))
    )
    assert {(one, other) for one, other in zip(upward, downward[::-1], strict=True)} in (
        {(1, None)},
        {(None, 1)},
    )
    assert len({lane.worker for lane in await ledger.lanes()}) == 1


async def test_lanes_are_taken_from_one_that_settles_them_without_a_circle(
    database: Database, names: Sequence[str]
) -> None:
    ledger = PostgresLedger(database)
    asked = [Settlement(name, 0, 0, 1, AT, "v", Counts(delivered=1)) for name in names]
    settling = asyncio.gather(*(ledger.settle([one]) for one in asked))
    assert await ledger.lease(leases(names[::-1], "b")) == [1] * LANES
    applied = [one for (one,) in await settling]
    cursors = {lane.flow: lane.cursor for lane in await ledger.lanes()}
    assert [cursors[name] for name in names] == [int(one) for one in applied]


async def test_a_value_is_not_put_in_the_middle_of_a_comparison(database: Database) -> None:
    ledger = PostgresLedger(database)
    await ledger.put("name", b"1")
    async with database.transaction() as connection:  # as far as a change has compared
        await fetch(connection, "ledger/lock_name", "name")
        putting = asyncio.create_task(ledger.put("name", b"2"))
        await until(lambda: _waits(database))
        await fetch(connection, "ledger/put", "name", b"3")
        other = Change("other", b"4", expected=None)
        assert await ledger.change([other]), "nothing else waits"
    await putting
    assert await ledger.get("") == {"name": b"2", "other": b"4"}


async def _waits(database: Database) -> bool:
    ((count,),) = await database.query(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    )
    return bool(count)
