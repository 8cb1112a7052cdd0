"""Limits, the breaker and interrupted retries in front of a real PostgreSQL server."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import asyncpg
import msgspec

from busway import App, Event
from busway.failed_event import FailedEvent, Resolution
from busway.sinks import postgres
from delivery_node import QUICK, event, running, until
from postgres_server import PostgresServer

COUNT = 40


async def tables(server: PostgresServer, *names: str) -> None:
    connection = await asyncpg.connect(server.dsn)
    try:
        for name in names:
            await connection.execute(f"DROP TABLE IF EXISTS {name}")
            await connection.execute(f"CREATE TABLE {name} (n bigint PRIMARY KEY)")
    finally:
        await connection.close()


def row(event: Event) -> dict[str, int]:
    return {"n": event.data["n"]}


async def test_two_flows_share_a_limit_and_wait_together_while_it_is_down(
    tmp_path: Path, server: PostgresServer
) -> None:
    await tables(server, "one", "two")
    app = App("t")
    limit = app.limit("database", rate="200/s burst 10", concurrency=1)
    for name in ("one", "two"):
        to = postgres(server.dsn, table=name, key="n")
        app.flow(name, when={"type": ["made"]}, to=to, steps=[row], limit=limit, retry=QUICK)
    async with running(app, tmp_path) as busway:
        await busway.post(*(event(n, key=f"k{n}") for n in range(COUNT)))
        for name in ("one", "two"):
            await busway.until(name, delivered=COUNT)
        server.stop(immediate=True)
        await busway.post(*(event(n, key=f"k{n}") for n in range(COUNT, 2 * COUNT)))
        for name in ("one", "two"):
            status = await busway.until(name, breaker="open")
            assert (status.parked, status.dead) == (0, 0)
        server.start()
        for name in ("one", "two"):
            await busway.until(name, delivered=2 * COUNT, parked=0, dead=0, breaker="closed")


def begun_by_another(found: FailedEvent) -> Resolution:
    begun = msgspec.structs.replace(found, attempt_started_at=found.since, due=found.since)
    place = (found.flow, found.partition, found.offset)
    return Resolution(*place, found.attempts, found.state, begun, found.since)


async def test_an_attempt_that_another_process_began_has_failed(
    tmp_path: Path, server: PostgresServer
) -> None:
    await tables(server, "three")

    def step(event: Event) -> dict[str, int]:
        raise ValueError("not yet")

    app = App("t")
    to = postgres(server.dsn, table="three", key="n")
    patient = msgspec.structs.replace(QUICK, first="1h", cap="1h", attempts=4)
    app.flow("three", to=to, steps=[step], retry=patient)
    async with running(app, tmp_path) as busway:
        await busway.post(event(0))
        await busway.until("three", parked=1)
        (found,) = await busway.troubles("three")
        await busway.stores.ledger.resolve([begun_by_another(found)])

        async def counted() -> bool:
            (now,) = await busway.troubles("three")
            return now.attempts == 2

        await until(counted, "the interrupted attempt has failed")
        (found,) = await busway.troubles("three")
        assert [one.error for one in found.failures] == ["ValueError", "interrupted"]
        assert found.attempt_started_at is None
        assert found.due is not None
        assert found.due - found.failures[-1].at >= timedelta(minutes=40)
