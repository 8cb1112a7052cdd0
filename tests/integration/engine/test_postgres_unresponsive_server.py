"""A server that goes silent after it was connected to: who asks it ends, and says so."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Iterator

import asyncpg
import pytest

from busway.driver.postgres.address import PostgresAddress
from busway.driver.postgres.connector import Connector
from busway.driver.postgres.session import CONNECT_TIMEOUT_S
from busway.driver.postgres.timeout import QUICK_TIMEOUT_S
from busway.driver.postgres.watchdog import watched_session
from busway.engine.postgres.database import Database
from busway.engine.postgres.durability import check_durability
from busway.engine.postgres.schema import is_initialized, migrate
from busway.errors import StoreError
from delivery_node import DEADLINE_S, until
from nats_proxy import Proxy
from postgres_server import PostgresServer, postgres_server

IN_TIME_S = 2 * (QUICK_TIMEOUT_S + CONNECT_TIMEOUT_S)


class Swallowing(Proxy):
    """A way to the server that loses what is said from the first statement on."""

    async def _back(self, answers: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        greeted = False
        while data := await answers.read(65536):
            if not greeted:
                client.write(data)
            greeted = greeted or b"Z\x00\x00\x00\x05I" in data


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_server() as found:
        yield found


@pytest.fixture
async def silent(server: PostgresServer) -> AsyncIterator[str]:
    proxy = Swallowing(server.port)
    await proxy.open()
    yield f"postgresql://postgres@127.0.0.1:{proxy.port}/postgres?sslmode=disable"
    await proxy.close()


async def test_a_start_ends_if_the_server_stops_responding(silent: str) -> None:
    asked: list[Awaitable[object]] = [
        check_durability(Connector(PostgresAddress.parse(silent))),
        is_initialized(silent),
        migrate(silent, "silent", 4),
    ]
    async with asyncio.timeout(IN_TIME_S):
        ended = await asyncio.gather(*asked, return_exceptions=True)
    for one in ended:
        assert isinstance(one, StoreError), one
    assert "did not confirm within 15 seconds" in str(ended[0])
    assert "does not respond to a statement" in str(ended[2])


async def test_the_last_of_many_servers_is_reached_if_the_others_do_not_respond(
    server: PostgresServer,
) -> None:
    doors = [socket.create_server(("127.0.0.1", 0)) for _ in range(5)]
    ports = [*(door.getsockname()[1] for door in doors), server.port]
    hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
    database = await Database.open(f"postgresql://postgres@{hosts}/postgres", "public")

    async def reached() -> bool:
        """Ask; each time begins anew, and is given up after ``CONNECT_TIMEOUT_S``."""
        try:
            return await database.fetch_sql("SELECT 1") == [(1,)]
        except StoreError:
            return False

    try:
        await until(reached)
    finally:
        await database.close()
        for door in doors:
            door.close()


async def test_a_statement_that_takes_long_is_waited_for(server: PostgresServer) -> None:
    way = Connector(PostgresAddress.parse(server.dsn))
    look_s = 4.0  # as long as an answer to a look may take
    async with asyncio.timeout(DEADLINE_S), watched_session(way, "public", look_s) as session:
        assert await session.fetchval("SELECT 1 FROM pg_sleep($1)", look_s + 1) == 1


async def test_the_error_says_why_a_transaction_could_not_end(server: PostgresServer) -> None:
    database = await Database.open(server.dsn, "public")
    asked = asyncio.Event()
    pids: list[int] = []

    async def sleep() -> None:
        async with database.transaction() as connection:
            pids.append(connection.get_server_pid())
            asked.set()
            await connection.fetch("SELECT pg_sleep(60)")

    try:
        sleeping = asyncio.create_task(sleep())
        await asked.wait()
        await hung_up(server, pids[0])
        with pytest.raises(StoreError, match="terminating connection"):
            await sleeping
    finally:
        await database.close()


async def test_an_unconfirmed_commit_is_reported_as_such(
    server: PostgresServer,
) -> None:
    database = await Database.open(server.dsn, "public", timeout_hint="; it may wait for a standby")
    try:
        said = "did not confirm within 0.1 seconds; it may wait for a standby"
        with pytest.raises(StoreError, match=said):
            async with database.connection(0.1) as connection:
                await connection.fetch("SELECT pg_sleep(60)")
        with pytest.raises(StoreError, match=said):
            async with database.transaction(0.1) as connection:
                await connection.fetch("SELECT pg_sleep(60)")
    finally:
        await database.close()


async def hung_up(server: PostgresServer, pid: int) -> None:
    connection = await asyncpg.connect(server.dsn)
    asleep = "SELECT count(*) FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'PgSleep'"

    async def sleeps() -> bool:
        return bool(await connection.fetchval(asleep, pid))

    await until(sleeps)
    await connection.fetch("SELECT pg_terminate_backend($1, 10000)", pid)
    await connection.close()
