"""Whoever changes several lanes, or a named value, waits for others in one order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TypeVar

import asyncpg
import pytest

from busway.driver.postgres.session import Session
from busway.engine.postgres import PostgresLedger
from busway.engine.postgres.database import Database, fetch
from busway.engine.postgres.schema import SCHEMA, migrate
from busway.failed_event import FailedEvent, Resolution
from busway.lane import Counts, LeaseRequest
from busway.named_value import ValueChange
from busway.settlement import Settlement
from delivery_node import until
from postgres_server import PostgresServer

AT = datetime(2030, 1, 1, tzinfo=UTC)
LANES = 300
AT_A_ROW = ("transactionid", "tuple")
AT_A_NAME = ("advisory",)
Answer = TypeVar("Answer")


@pytest.fixture
async def database(server: PostgresServer) -> AsyncIterator[Database]:
    url = await server.fresh_database()
    await migrate(url, SCHEMA, 1)
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


def leases(names: Sequence[str], worker: str) -> list[LeaseRequest]:
    return [LeaseRequest(name, 0, 0, worker) for name in names]


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


async def test_leasing_lanes_that_are_being_settled_does_not_deadlock(
    database: Database, names: Sequence[str]
) -> None:
    ledger = PostgresLedger(database)
    asked = [Settlement(name, 0, 0, 1, AT, "v", Counts(delivered=1)) for name in names]
    settling = asyncio.gather(*(ledger.settle([one]) for one in asked))
    assert await ledger.lease(leases(names[::-1], "b")) == [1] * LANES
    applied = [one for (one,) in await settling]
    cursors = {lane.flow: lane.cursor for lane in await ledger.lanes()}
    assert [cursors[name] for name in names] == [int(one) for one in applied]


async def test_several_settlements_of_one_call_wait_in_the_order_of_all(database: Database) -> None:
    ledger = PostgresLedger(database)
    up = [await opened(ledger, name, 0) for name in ("a", "b")]
    async with holding(database, "a"):
        upward = await begun(database, ledger.settle(up))
        downward = await begun(database, ledger.settle(up[::-1]))
    assert (await upward, await downward) == ([True, True], [False, False])


@pytest.mark.parametrize("remove", [False, True])
async def test_a_flow_is_renamed_or_removed_under_one_that_takes_its_lanes(
    database: Database, remove: bool
) -> None:
    ledger = PostgresLedger(database)
    for partition in (1, 0):
        await opened(ledger, "a", partition)
    async with holding(database, "a"):
        leasing = await begun(
            database, ledger.lease([LeaseRequest("a", 0, 0, "w"), LeaseRequest("a", 1, 0, "w")])
        )
        change = ledger.remove_flow("a") if remove else ledger.rename_flow("a", "b")
        changing = await begun(database, change)
    assert await leasing == [1, 1]
    assert await changing
    left = [] if remove else [("b", 0, 1), ("b", 1, 1)]
    assert [(one.flow, one.partition, one.fencing_token) for one in await ledger.lanes()] == left


async def test_settling_and_resolving_with_the_same_value_do_not_deadlock(
    database: Database,
) -> None:
    ledger = PostgresLedger(database)
    await opened(ledger, "a", 0)
    dead = FailedEvent("a", 0, 0, b"{}", "id", "dead", AT, 1)
    await ledger.settle([Settlement("a", 0, 0, 1, AT, "v", Counts(dead=1), (dead,))])
    following = Settlement("a", 0, 1, 2, AT, "v", Counts(delivered=1))
    verdict = Resolution("a", 0, 0, 1, "dead", "discarded", AT)
    async with transaction(database) as connection:
        await fetch(connection, "ledger/lock_value", "n")
        judging = await begun(
            database, ledger.resolve([verdict], (), [ValueChange("n", b"1")]), AT_A_NAME
        )
        settling = asyncio.create_task(ledger.settle([following], [ValueChange("n", b"2")]))
        await until(lambda: _waits(database, AT_A_NAME + AT_A_ROW, 2))
    assert (await judging, await settling) == ([True], [True])
    assert await ledger.get_values("") == {"n": b"2"}


async def test_a_value_is_not_put_during_a_compare_and_set(database: Database) -> None:
    ledger = PostgresLedger(database)
    await ledger.put_value("name", b"1")
    async with transaction(database) as connection:  # as far as a change has compared
        await fetch(connection, "ledger/lock_value", "name")
        putting = asyncio.create_task(ledger.put_value("name", b"2"))
        await until(lambda: _waits(database))
        await fetch(connection, "ledger/put_value", "name", b"3")
        other = ValueChange("other", b"4", expected=None)
        assert await ledger.change_values([other]), "nothing else waits"
    await putting
    assert await ledger.get_values("") == {"name": b"2", "other": b"4"}


async def opened(ledger: PostgresLedger, flow: str, partition: int) -> Settlement:
    """Open a lane, and return its first settlement."""
    await ledger.open_lane(flow, partition, 0)
    return Settlement(flow, partition, 0, 1, AT, "v", Counts(delivered=1))


@asynccontextmanager
async def holding(database: Database, flow: str) -> AsyncIterator[None]:
    """Keep others from the first lane of a flow."""
    async with transaction(database) as connection:
        await fetch(connection, "ledger/lock_lanes", [flow], [0])
        yield


@asynccontextmanager
async def transaction(database: Database) -> AsyncIterator[Session]:
    """Lend a transaction of no worker: one that stands still in its own is hung up."""
    url = database.connector.address.url
    session: Session = await asyncpg.connect(url, server_settings={"search_path": SCHEMA})
    try:
        async with session.transaction():
            yield session
    finally:
        await session.close()


async def begun(
    database: Database, asked: Coroutine[None, None, Answer], kinds: Sequence[str] = AT_A_ROW
) -> asyncio.Task[Answer]:
    """Begin something, and return once one more waits than before."""
    before = await _waiting(database, kinds)
    task = asyncio.create_task(asked)
    await until(lambda: _waits(database, kinds, before + 1))
    return task


async def _waits(database: Database, kinds: Sequence[str] = AT_A_NAME, count: int = 1) -> bool:
    return await _waiting(database, kinds) >= count


async def _waiting(database: Database, kinds: Sequence[str]) -> int:
    ((count,),) = await database.fetch_sql(
        "SELECT count(*) FROM pg_locks WHERE locktype = ANY ($1::text[]) AND NOT granted", kinds
    )
    return int(count)
