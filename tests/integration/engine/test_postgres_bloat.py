"""What is trimmed, settled and redriven again and again takes up no more room in PostgreSQL."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from busway.driver.postgres.session import Session as Connection
from busway.engine.postgres import PostgresLedger, PostgresLog
from busway.engine.postgres.database import Database
from busway.engine.postgres.schema import migrate
from busway.engine.postgres.vacuum import Vacuum
from busway.failed_event import FailedEvent, FailedEventQuery, Resolution
from busway.lane import Counts
from busway.ports import NewBatch
from busway.settlement import Settlement
from postgres_server import PostgresServer, postgres_server

AT = datetime(2030, 1, 1, tzinfo=UTC)
MB = 1024 * 1024
PAGE = 8192
EVENT_BYTES = 1024
BATCH = 128
PER_ROUND = 16
ROUND_BYTES = 2 * MB
COUNT = 2_000
TABLES = ("lane", "settled_range", "named_value", "partition", "appender")


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    """Only where a test asks for it the server vacuums, and looks at its tables, by itself.

    What it has in view while it looks at one keeps room from being used again.
    """
    vacuums = getattr(request, "param", "off")
    with postgres_server(autovacuum=vacuums, autovacuum_naptime="1") as found:
        yield found


@pytest.fixture
async def schema(server: PostgresServer) -> str:
    name = f"s{uuid.uuid4().hex}"
    await migrate(server.dsn, name, 1)
    return name


@pytest.fixture
async def database(server: PostgresServer, schema: str) -> AsyncIterator[Database]:
    found = await Database.open(server.dsn, schema)
    yield found
    await found.close()


@pytest.fixture
async def session(server: PostgresServer, schema: str) -> AsyncIterator[Connection]:
    found = await asyncpg.connect(server.dsn, server_settings={"search_path": schema})
    yield found
    await found.close()


class Rounds:
    """Appends 2 MB and trims, round by round, as upkeep does."""

    def __init__(self, log: PostgresLog, database: Database, session: Connection) -> None:
        self.log = log
        self.log._vacuum = Vacuum(database, ROUND_BYTES // 4)
        self.session = session
        self.random = random.Random(7)

    async def run(self, count: int, keep: int | None) -> None:
        """``keep`` is how many rounds are kept; ``None`` trims nothing: a lane lags."""
        for _ in range(count):
            for _ in range(PER_ROUND):
                events = [self.random.randbytes(EVENT_BYTES) for _ in range(BATCH)]
                await self.log.append([NewBatch(0, events)], AT)
            if keep is not None:
                _, end = await self.log.bounds(0)
                await self.log.trim(0, end - keep * PER_ROUND * BATCH)
            await self.log.maintain()
            if self.log._vacuum._task is not None:
                await self.log._vacuum._task

    async def size(self) -> int:
        found = await self.session.fetchval("SELECT pg_total_relation_size('batch')")
        return int(found)


async def test_a_log_that_is_trimmed_keeps_its_size(
    database: Database, session: Connection
) -> None:
    log = await PostgresLog.open(database, "x")
    rounds = Rounds(log, database, session)
    await rounds.run(4, keep=2)
    early = await rounds.size()
    await rounds.run(12, keep=2)
    assert await log.size_bytes() < 2.2 * ROUND_BYTES
    assert await rounds.size() < early + ROUND_BYTES
    assert await rounds.size() < 2.2 * await log.size_bytes()

    await rounds.run(4, keep=None)
    lagging = await log.size_bytes()
    assert lagging > 5.8 * ROUND_BYTES
    await rounds.run(8, keep=2)
    assert await rounds.size() < 1.5 * lagging
    base, end = await log.bounds(0)
    read = await log.read(0, base, 100 * MB)
    assert (read[0].offset, read[-1].end) == (base, end)
    await log.close()


async def test_full_is_what_is_kept_and_not_what_the_table_takes_up(database: Database) -> None:
    log = await PostgresLog.open(database, "x", 3 * MB)
    for _ in range(6):
        for _ in range(2):
            await log.append([NewBatch(0, [b"e" * MB])], AT)
        await log.trim(0, (await log.bounds(0))[1])
        assert await log.size_bytes() == 0
    await log.close()


async def test_rows_that_change_all_the_time_stay_on_their_pages(
    server: PostgresServer, schema: str, session: Connection
) -> None:
    times = 400
    database = await Database.open(server.dsn, schema, synchronous_commit="off")
    log, ledger = await PostgresLog.open(database, "x"), PostgresLedger(database)
    await ledger.open_lane("f", 0, 0)
    for n in range(times):
        await ledger.settle([Settlement("f", 0, n, n + 1, AT, "v", Counts(1))])
        await ledger.put_value("worker/w1", b"%0200d" % n)
        await log.append([NewBatch(0, [b"{}"])], AT)
    for table in TABLES:
        pages = await session.fetchval("SELECT pg_relation_size($1::regclass)", table) // PAGE
        assert pages <= 4, table
        index = await session.fetchval("SELECT pg_indexes_size($1::regclass)", table) // PAGE
        assert index <= 2, table
    await log.close()
    await database.close()


@pytest.mark.parametrize("server", ["on"], indirect=True)
async def test_dead_letters_that_go_make_room_for_others(
    database: Database, session: Connection
) -> None:
    ledger = PostgresLedger(database)
    await ledger.open_lane("f", 0, 0)
    sizes: list[int] = []
    for number in range(5):
        await fail(ledger, number * COUNT)
        sizes.append(await session.fetchval("SELECT pg_total_relation_size('failed_event')"))
        await redrive(ledger)
        await vacuumed(session, deleted=(number + 1) * COUNT)
    # dead, parked and the next ones: three at a time at most, however many came before
    assert max(sizes) < 4.5 * sizes[0]


async def fail(ledger: PostgresLedger, first: int) -> None:
    troubles = tuple(
        FailedEvent("f", 0, n, b"e" * 500, str(n), "dead", AT, 1, None, None, (), fingerprint="c")
        for n in range(first, first + COUNT)
    )
    counts = Counts(dead=COUNT)
    one = Settlement("f", 0, first, first + COUNT, AT, "v", counts, troubles)
    assert await ledger.settle([one]) == [True]


async def redrive(ledger: PostgresLedger) -> None:
    """Park all of them, and deliver them then."""
    dead = await ledger.failed_events(FailedEventQuery(limit=COUNT))
    due = AT + timedelta(minutes=1)
    parked = [
        FailedEvent("f", 0, one.offset, one.event, one.event_id, "parked", AT, 0, due, None, ())
        for one in dead
    ]
    again = [
        Resolution("f", 0, one.offset, 1, "dead", after, AT)
        for one, after in zip(dead, parked, strict=True)
    ]
    assert all(await ledger.resolve(again))
    done = [Resolution("f", 0, one.offset, 0, "parked", "delivered", AT, "v") for one in parked]
    assert all(await ledger.resolve(done))


async def vacuumed(session: Connection, deleted: int) -> None:
    """Wait until the server knows of so many deleted rows, and has vacuumed them."""

    async def is_clean() -> bool:
        await session.execute("SELECT pg_stat_clear_snapshot()")
        found = await session.fetchrow(
            "SELECT n_tup_del, n_dead_tup FROM pg_stat_user_tables"
            " WHERE relid = 'failed_event'::regclass"
        )
        assert found is not None
        return bool(found["n_tup_del"] >= deleted and found["n_dead_tup"] < COUNT // 10)

    deadline = time.monotonic() + 90  # the server does it when it comes to it
    while not await is_clean():
        assert time.monotonic() < deadline, "it is not vacuumed"
        await asyncio.sleep(0.1)
