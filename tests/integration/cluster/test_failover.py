"""PostgreSQL fails over, or takes no writes for a while: what got a 202 is delivered."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import httpx
import pytest

from command import DEADLINE_S, EVENT, Server, busway, running, until
from delivery_node import until as eventually
from postgres_server import PostgresServer, postgres_server, standby_of
from shop_flows import KEPT, kept


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(KEPT)
    return tmp_path


@pytest.fixture(scope="module")
def primary() -> Iterator[PostgresServer]:
    with postgres_server() as found:
        yield found


@pytest.fixture(scope="module")
def standby(primary: PostgresServer) -> Iterator[PostgresServer]:
    with standby_of(primary) as found:
        yield found


@pytest.fixture
async def engine(primary: PostgresServer) -> str:
    return await primary.fresh_database()


class Producer:
    """Posts events one after the other until it is stopped; knows which of them got a 202."""

    def __init__(self, node: Server) -> None:
        self._client = httpx.Client(base_url=node.url, timeout=DEADLINE_S)
        self._thread = threading.Thread(target=self._run)
        self._stop = threading.Event()
        self.accepted: set[int] = set()
        self.refused: list[httpx.Response] = []

    def __enter__(self) -> Producer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._client.close()

    def _run(self) -> None:
        number = 0
        while not self._stop.is_set():
            number += 1
            event = EVENT | {"id": str(number), "data": {"id": number}}
            headers = {"content-type": "application/cloudevents+json"}
            answer = self._client.post("/events", json=event, headers=headers)
            if answer.status_code == 202:
                self.accepted.add(number)
            else:
                self.refused.append(answer)
                self._stop.wait(0.05)

    def goes_on(self) -> None:
        """Return once more has been accepted."""
        before = len(self.accepted)
        until(lambda: len(self.accepted) > before + 20, "it takes events")


async def run(server: PostgresServer, *statements: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(server.dsn)
    try:
        for statement in statements:
            found = await connection.fetch(statement)
        return found
    finally:
        await connection.close()


async def wait_for_the_standby(primary: PostgresServer) -> None:
    await run(
        primary,
        "ALTER SYSTEM SET synchronous_standby_names = 'standby'",
        "SELECT pg_reload_conf()",
    )
    await following(primary, "sync")


async def following(primary: PostgresServer, state: str) -> None:
    """Return once the primary knows of its standby, and waits for it or not."""

    async def known() -> bool:
        found = await run(primary, "SELECT sync_state FROM pg_stat_replication")
        return [row["sync_state"] for row in found] == [state]

    await eventually(known, f"the standby is {state}")


async def test_a_standby_that_is_not_waited_for_is_told(
    folder: Path, primary: PostgresServer, standby: PostgresServer, engine: str
) -> None:
    assert standby.running
    await following(primary, "async")
    with running("shop.py", "--engine", engine, cwd=folder) as node:
        assert "1 standby follows without being waited for" in node.log


async def test_a_standby_is_said_to_be_one_at_the_start(
    folder: Path, standby: PostgresServer
) -> None:
    host = f"postgresql://postgres@127.0.0.1:{standby.port}"
    for engine in (f"{host}/postgres", f"{host},127.0.0.1:1/postgres"):
        done = busway("run", "shop.py", "--engine", engine, cwd=folder)
        assert done.code == 1
        assert "is read-only; point Busway at the primary" in done.err, done.err


async def test_nothing_is_accepted_while_the_standby_is_away(
    folder: Path, primary: PostgresServer, standby: PostgresServer, engine: str
) -> None:
    await wait_for_the_standby(primary)
    with running("shop.py", "--engine", engine, cwd=folder) as node:
        with Producer(node) as producer:
            producer.goes_on()
            standby.stop(immediate=True)
            until(lambda: producer.refused, "it refuses")
            assert producer.refused[0].status_code == 503
            assert "may wait for a standby" in producer.refused[0].text

            async def stuck() -> bool:
                waits = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
                return bool(await run(primary, waits))

            await eventually(stuck, "commits wait for the standby")
            standby.start(cluster_name="standby")
            producer.goes_on()
        until(lambda: set(kept(folder)) >= producer.accepted, "all that was accepted has a row")
    assert "Traceback" not in node.log


async def test_a_server_that_takes_no_writes_for_a_while(
    folder: Path, primary: PostgresServer, engine: str
) -> None:
    with running("shop.py", "--engine", engine, cwd=folder) as node:
        with Producer(node) as producer:
            producer.goes_on()
            await run(
                primary,
                "ALTER SYSTEM SET default_transaction_read_only = on",
                "SELECT pg_reload_conf()",
            )
            until(lambda: producer.refused, "it refuses")
            assert producer.refused[0].status_code == 503
            assert "read-only; point Busway at the primary" in producer.refused[0].text
            await run(
                primary,
                "SET default_transaction_read_only = off",
                "ALTER SYSTEM RESET default_transaction_read_only",
                "SELECT pg_reload_conf()",
            )
            producer.goes_on()
        until(lambda: set(kept(folder)) >= producer.accepted, "all that was accepted has a row")
    assert "Traceback" not in node.log


def test_a_server_that_does_not_sync_is_refused_or_told(folder: Path) -> None:
    with postgres_server(fsync="off") as server:
        refused = busway("run", "shop.py", "--engine", server.dsn, cwd=folder)
        assert refused.code == 1
        assert "fsync is off" in refused.err
        with running("shop.py", "--engine", f"{server.dsn}?sync=lazy", cwd=folder) as node:
            assert "acknowledged events could be lost" in node.log
            assert node.post({"id": "1", "data": {"id": 1}}).status_code == 202


async def test_a_failover_loses_nothing_that_was_accepted(
    folder: Path, primary: PostgresServer, standby: PostgresServer, engine: str
) -> None:
    """It comes last: the primary is gone then."""
    await wait_for_the_standby(primary)
    both = f"127.0.0.1:{primary.port},127.0.0.1:{standby.port}"
    engine = engine.replace(f"127.0.0.1:{primary.port}", both)
    with running("shop.py", "--engine", engine, cwd=folder) as node:
        assert engine.replace("postgres@", "") in node.ready
        with Producer(node) as producer:
            producer.goes_on()
            primary.stop(immediate=True)
            until(lambda: producer.refused, "it refuses")
            standby.promote()
            producer.goes_on()
        assert {one.status_code for one in producer.refused} == {503}
        assert all(int(one.headers["retry-after"]) > 0 for one in producer.refused)
        until(lambda: set(kept(folder)) >= producer.accepted, "all that was accepted has a row")
    checked = busway("check", cwd=folder, BUSWAY_ENGINE=engine)
    assert checked.code == 0, checked.out + checked.err
    assert "Traceback" not in node.log
