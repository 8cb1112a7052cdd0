"""Group commit where all that is under way ends at once, and a lane goes on at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import asyncpg
import pytest

from busway.engine.postgres import PostgresLedger
from busway.engine.postgres.database import Database, fetch
from busway.engine.postgres.schema import SCHEMA, migrate
from busway.engine.postgres.settlement_group import MAX_TRANSACTIONS
from busway.lane import Counts
from busway.settlement import Settlement
from delivery_node import DEADLINE_S, until
from postgres_server import PostgresServer

AT = datetime(2030, 1, 1, tzinfo=UTC)
NAMES = [f"flow_{number}" for number in range(MAX_TRANSACTIONS)]
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"


@pytest.fixture
async def ledger(server: PostgresServer) -> AsyncIterator[PostgresLedger]:
    url = await server.fresh_database()
    await migrate(url, SCHEMA, 1)
    database = await Database.open(url, SCHEMA)
    ledger = PostgresLedger(database)
    yield ledger
    await ledger.close()
    await database.close()


@pytest.fixture
async def holder(ledger: PostgresLedger) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """Return a session of somebody else on the same database."""
    address = ledger._database.connector.address.url
    found = await asyncpg.connect(address, server_settings={"search_path": SCHEMA})
    yield found
    await found.close()


def settlement(lane: str, start: int) -> Settlement:
    return Settlement(lane, 0, start, start + 1, AT, "v1", Counts(delivered=1), ())


async def test_a_lane_that_settles_again_while_all_others_end_is_not_forgotten(
    ledger: PostgresLedger, holder: asyncpg.Connection[asyncpg.Record]
) -> None:
    for name in NAMES:
        await ledger.open_lane(name, 0, 0)

    again: list[str] = []

    async def work(name: str) -> list[bool]:
        """Settle, and once more where no other one was quicker."""
        found = await ledger.settle([settlement(name, 0)])
        if not again:
            again.append(name)
            found = [*found, *await ledger.settle([settlement(name, 1)])]
        return list(found)

    async def all_wait() -> bool:
        ((count,),) = await ledger._database.fetch_sql(WAITING)
        return bool(count == MAX_TRANSACTIONS)

    holding = holder.transaction()
    await holding.start()
    await fetch(holder, "ledger/lock_lanes", NAMES, [0] * MAX_TRANSACTIONS)
    working: dict[str, asyncio.Task[list[bool]]] = {}
    for name in NAMES:  # one after the other, so that each has a commit of its own
        working[name] = asyncio.create_task(work(name))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    await until(all_wait)
    ending = asyncio.create_task(holding.commit())
    await asyncio.sleep(0)
    _stand_still()
    await ending
    async with asyncio.timeout(DEADLINE_S):
        for name, task in working.items():
            assert await task == [True] * (1 + (name in again))
    assert len(again) == 1


def _stand_still() -> None:
    """Keep the loop from looking until all answers are there."""
    time.sleep(0.5)
