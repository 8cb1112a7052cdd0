"""Replays into PostgreSQL, which keeps positions: every event exactly once, or again by force."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

import asyncpg
import msgspec
import pytest

from busway.control.replay import operation as control
from busway.delivery.replay import ReplayOffsets
from busway.errors import BuswayError, Conflict, NotFound, Reject
from busway.event import Event
from busway.failed_event import FailedEvent, Resolution
from busway.flow import App, CompiledApp, compile_app
from busway.sinks import postgres
from delivery_node import QUICK, event, running
from postgres_server import PostgresServer
from replay_node import begun, counted, ended, reached, replayed

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


@pytest.fixture
async def database(server: PostgresServer) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(server.dsn)
    await connection.execute("DROP SCHEMA public CASCADE")
    await connection.execute("CREATE SCHEMA public")
    yield connection
    await connection.close()


def shop(server: PostgresServer, table: str = "t", key: str | None = None, **more: Any) -> App:
    """Without a key: what lands twice is there twice."""
    app = App("test")

    @app.flow(
        when={"type": ["made"]}, to=postgres(server.dsn, table=table, key=key, create=True), **more
    )
    def f(given: Event) -> dict[str, Any]:
        if given.data.get("bad"):
            raise Reject("bad")
        return {"n": given.data["n"]}

    return app


async def numbers(database: Connection, table: str = "t") -> list[int]:
    return [row["n"] for row in await database.fetch(f"SELECT n FROM {table} ORDER BY n")]


async def test_what_has_landed_is_skipped(
    server: PostgresServer, database: Connection, tmp_path: Path
) -> None:
    async with running(shop(server), tmp_path) as node:
        await node.post(*(event(number, type="other") for number in range(5)))
        await node.post(*(event(100 + number) for number in range(50)))
        await node.until("f", delivered=50, filtered=5)
        found = await counted(node)
        assert (found.total, found.selected, found.already_delivered, found.to_replay) == (
            55,
            50,
            50,
            0,
        )
        done = await replayed(node)
        assert (done.done, done.total) == (55, 55)
        assert (done.skipped, done.filtered, done.delivered) == (50, 5, 0)
        assert await numbers(database) == list(range(100, 150))


async def test_by_force_it_is_written_again(
    server: PostgresServer, database: Connection, tmp_path: Path
) -> None:
    async with running(shop(server), tmp_path) as node:
        await node.post(*(event(number) for number in range(50)))
        await node.until("f", delivered=50)
        found = await counted(node, force=True)
        assert (found.selected, found.already_delivered, found.to_replay) == (50, 50, 50)
        done = await replayed(node, force=True)
        assert (done.delivered, done.skipped) == (50, 0)
        assert await numbers(database) == sorted([*range(50), *range(50)])


async def test_rows_that_were_deleted_come_back_by_force(
    server: PostgresServer, database: Connection, tmp_path: Path
) -> None:
    async with running(shop(server, key="n"), tmp_path) as node:
        await node.post(*(event(number) for number in range(20)))
        await node.until("f", delivered=20)
        await database.execute("DELETE FROM t WHERE n < 10")
        assert (await replayed(node)).skipped == 20
        assert len(await numbers(database)) == 10
        assert (await replayed(node, force=True)).delivered == 20
        assert await numbers(database) == list(range(20))


async def test_what_came_before_the_flow_began(
    server: PostgresServer, database: Connection, tmp_path: Path
) -> None:
    async with running(shop(server, table="other"), tmp_path) as node:
        await node.post(*(event(number) for number in range(30)))
        await node.until("f", delivered=30)
        await node.node.change_program(_second(server))
        await node.post(*(event(number) for number in range(30, 50)))
        await node.until("g", delivered=20)
        with pytest.raises(BuswayError, match="nothing to replay"):
            await begun(node, "g", until=datetime(2020, 1, 1, tzinfo=UTC))
        found = await counted(node, "g")
        assert (found.selected, found.already_delivered, found.to_replay) == (50, 20, 30)
        done = await replayed(node, "g")
        assert (done.delivered, done.skipped) == (30, 20)
        assert await numbers(database, "g") == list(range(50))
        assert await database.fetchval("SELECT count(*) FROM busway_exception") == 0
        again = await replayed(node, "g", force=True)
        assert again.delivered == 50


def _second(server: PostgresServer) -> CompiledApp:
    app = shop(server, table="other")

    @app.flow(when={"type": ["made"]}, to=postgres(server.dsn, table="g", create=True))
    def g(given: Event) -> dict[str, Any]:
        return {"n": given.data["n"]}

    return compile_app(app)


async def test_by_time_offsets_pattern_and_ids(
    server: PostgresServer, database: Connection, tmp_path: Path
) -> None:
    async with running(shop(server), tmp_path, partitions=1) as node:
        await node.post(*(event(number) for number in range(20)))
        await node.until("f", delivered=20)
        middle = datetime.now(UTC)
        await node.post(*(event(number) for number in range(20, 40)))
        await node.until("f", delivered=40)
        again: dict[str, Any] = {"force": True}
        assert (await replayed(node, since=middle, **again)).delivered == 20
        assert (await replayed(node, until=middle, **again)).delivered == 20
        chosen = (ReplayOffsets(0, 5, 10), ReplayOffsets(0, 30, 31))
        done = await replayed(node, offsets=chosen, **again)
        assert (done.total, done.delivered, done.filtered) == (26, 6, 20)
        small = {"data": {"n": [{"numeric": ["<", 3]}]}}
        assert (await replayed(node, when=small, **again)).delivered == 3
        found = await counted(node, ids=("e7", "e33", "nobody"), **again)
        assert (found.selected, found.to_replay) == (2, 2)
        assert (await replayed(node, ids=("e7", "e33", "nobody"), **again)).delivered == 2
        times = await database.fetch("SELECT n, count(*) AS times FROM t GROUP BY n")
        assert {row["n"]: row["times"] for row in times} == {
            number: 2 + (number < 3) + (5 <= number < 10 or number == 30) + (number in (7, 33))
            for number in range(40)
        }


async def test_what_failed_lands_once_whoever_tries(
    server: PostgresServer, database: Connection, tmp_path: Path
) -> None:
    async with running(shop(server), tmp_path) as node:
        await node.post(*(event(number, data={"bad": number % 2}) for number in range(10)))
        await node.until("f", delivered=5, dead=5)
        found = await counted(node)
        assert (found.selected, found.already_delivered, found.to_replay) == (10, 5, 5)
        await node.node.change_program(_mended(server))
        done = await replayed(node)
        assert (done.delivered, done.skipped) == (5, 5)
        letters = await node.troubles("f", state="dead")
        verdicts = [_redriven(one) for one in letters]
        assert all(await node.stores.ledger.resolve(verdicts))
        await node.until("f", delivered=10, dead=0)
        assert await numbers(database) == list(range(10))


def _mended(server: PostgresServer) -> CompiledApp:
    app = App("test")

    @app.flow(when={"type": ["made"]}, to=postgres(server.dsn, table="t", create=True))
    def f(given: Event) -> dict[str, Any]:
        return {"n": given.data["n"]}

    return compile_app(app)


def _redriven(letter: FailedEvent) -> Resolution:
    now = datetime.now(UTC)
    again = msgspec.structs.replace(letter, state="parked", attempts=0, due=now)
    place = (letter.flow, letter.partition, letter.offset)
    return Resolution(*place, letter.attempts, letter.state, again, now)


async def test_its_dead_letters_are_its_own_and_can_be_redriven(
    server: PostgresServer, database: Connection, tmp_path: Path
) -> None:
    async with running(shop(server), tmp_path) as node:
        await node.post(*(event(number, data={"bad": number == 3}) for number in range(10)))
        await node.until("f", delivered=9, dead=1)
        (first,) = await node.troubles("f", state="dead")
        place = (first.flow, first.partition, first.offset)
        gone = Resolution(
            *place, first.attempts, "dead", "discarded", datetime.now(UTC), actor="ann"
        )
        assert await node.stores.ledger.resolve([gone]) == [True]
        done = await replayed(node, force=True)
        done = await reached(node, done.id, lambda one: one.dead == 1)
        with pytest.raises(Conflict, match="1 dead letters"):
            await control.forget_replay(node.node.control, done.id, "tester")
        (letter,) = await node.troubles(f"f@{done.id}", state="dead")
        await node.node.change_program(_mended(server))
        assert await node.stores.ledger.resolve([_redriven(letter)]) == [True]
        done = await reached(node, done.id, lambda one: one.dead == 0 and one.delivered == 10)
        assert (await numbers(database)).count(3) == 1
        await control.forget_replay(node.node.control, done.id, "tester")
        with pytest.raises(NotFound):
            await control.replay(node.node.control, done.id)
        assert {lane.flow for lane in await node.stores.ledger.lanes()} == {"f"}


async def test_into_a_file(server: PostgresServer, database: Connection, tmp_path: Path) -> None:
    async with running(shop(server), tmp_path) as node:
        await node.post(*(event(number) for number in range(30)))
        await node.until("f", delivered=30)
        into = "again.jsonl"
        found = await counted(node, into=into)
        assert (found.selected, found.already_delivered, found.to_replay) == (30, None, 30)
        assert (await replayed(node, into=into)).delivered == 30
        lines = (tmp_path / "replays" / "again.jsonl").read_text().splitlines()
        assert sorted(lines) == sorted(f'{{"n":{number}}}' for number in range(30))
        assert len(await numbers(database)) == 30


async def test_it_waits_while_the_destination_is_down(
    server: PostgresServer, database: Connection, tmp_path: Path
) -> None:
    async with running(shop(server), tmp_path) as node:
        await node.post(*(event(number) for number in range(30)))
        await node.until("f", delivered=30)
        server.stop(immediate=True)
        try:
            one = await begun(node)
            await node.until("f", breaker="open")
            assert (await control.replay(node.node.control, one.id)).done == 0
            assert (await counted(node)).note.startswith("the destination cannot be queried")
        finally:
            server.start()
        assert (await ended(node, one.id)).skipped == 30


async def test_order_by_key_holds_within_a_replay(
    server: PostgresServer, database: Connection, tmp_path: Path
) -> None:
    """Some events of a key fail at first, on both sides of where the sink began."""
    tried: Counter[int] = Counter()

    def step(given: Event) -> dict[str, Any]:
        number = given.data["n"]
        tried[number] += 1
        if number % 7 == 0 and tried[number] % 3:
            raise ConnectionError("not yet")
        return {"key": given.key, "n": number}

    def program(table: str) -> App:
        app = App("test")
        to = postgres(server.dsn, table=table, create=True)
        app.flow("f", when={"type": ["made"]}, to=to, steps=[step], retry=QUICK, ordered=True)
        return app

    async with running(program("old"), tmp_path, partitions=1) as node:
        await node.post(*(event(number, key=f"k{number % 5}") for number in range(100)))
        await node.until("f", delivered=100)
        await database.execute("DROP TABLE busway_position, busway_exception")
        await node.node.change_program(compile_app(program("new")))
        await node.post(*(event(number, key=f"k{number % 5}") for number in range(100, 200)))
        await node.until("f", delivered=200)
        found = await counted(node)
        assert (found.already_delivered, found.to_replay) == (100, 100)
        first = await replayed(node)
        first = await reached(node, first.id, lambda one: one.delivered == 100)
        forced = await replayed(node, force=True, rate="2000/s")
        await reached(node, forced.id, lambda one: one.delivered == 200)
        await database.execute("ALTER TABLE new ADD COLUMN place serial")
        rows = await database.fetch("SELECT key, n FROM new ORDER BY place")
        for key in range(5):
            numbers = [row["n"] for row in rows if row["key"] == f"k{key}"]
            live, old, again = numbers[:20], numbers[20:40], numbers[40:]
            assert live == list(range(100 + key, 200, 5))
            assert old == list(range(key, 100, 5))
            assert again == list(range(key, 200, 5))
