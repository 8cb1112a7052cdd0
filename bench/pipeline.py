"""From HTTP to PostgreSQL, exactly once: how much, how soon, in how much memory."""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import aiohttp
import asyncpg
import psutil
from process import HERE, load, started

sys.path.append(str(HERE.parent / "tests"))
from postgres_server import PostgresServer, postgres_server

TABLE = "CREATE TABLE orders (order_id bigint PRIMARY KEY, customer bigint, total double precision)"
UPSERT = """INSERT INTO orders SELECT * FROM staging ON CONFLICT (order_id) DO UPDATE
SET customer = excluded.customer, total = excluded.total"""
REQUESTS = 300
BATCH = 5_000
SINGLES = 2_500
SINGLES_PER_S = 500
BACKLOG = int(os.environ.get("BUSWAY_BENCH_BACKLOG", "10000000"))
MB = 1024 * 1024


@asynccontextmanager
async def database(server: PostgresServer) -> AsyncIterator[asyncpg.Connection[Any]]:
    """Connect, with an empty table of orders."""
    connection = await asyncpg.connect(server.dsn)
    try:
        await connection.execute("DROP TABLE IF EXISTS orders, busway_position, busway_exception")
        await connection.execute(TABLE)
        yield connection
    finally:
        await connection.close()


async def floor(server: PostgresServer) -> float:
    """Return rows a second of bare COPY and upsert, one transaction a batch."""
    total = REQUESTS * 1000
    rows = [(n, n % 1000, n % 500 + 0.5) for n in range(total)]
    async with database(server) as connection:
        await connection.execute("CREATE TEMP TABLE staging (LIKE orders) ON COMMIT DELETE ROWS")
        began = time.perf_counter()
        for first in range(0, total, BATCH):
            async with connection.transaction():
                batch = rows[first : first + BATCH]
                await connection.copy_records_to_table("staging", records=batch)
                await connection.execute(UPSERT)
        return total / (time.perf_counter() - began)


def busway(folder: str, *options: object) -> Any:
    """Start Busway on the flow above; the port is at the end of its first line's address."""
    flows = HERE / "flows_postgres.py"
    command = ["-m", "busway", "run", flows, "--port", 0, "--data", f"{folder}/data", *options]
    return started(command)


def port_of(line: str) -> int:
    return int(line.partition("http://")[2].partition(" ")[0].rpartition(":")[2])


async def throughput(server: PostgresServer) -> float:
    """Return rows a second from the first request to the last row."""
    total = REQUESTS * 1000
    async with database(server) as connection:
        with tempfile.TemporaryDirectory() as folder, busway(folder) as (_, line):
            options = ("--mode", "ndjson", "--requests", REQUESTS, "--connections", 4)
            began = time.perf_counter()
            sent = asyncio.to_thread(load, port_of(line), *options, "--seconds", 300)
            await asyncio.gather(sent, _until(lambda: _landed(connection, total)))
            return total / (time.perf_counter() - began)


async def _landed(connection: asyncpg.Connection[Any], total: int) -> bool:
    if not await connection.fetchval("SELECT to_regclass('busway_position') IS NOT NULL"):
        return False
    decided = await connection.fetchval("SELECT sum(position - start) FROM busway_position")
    return bool(decided == total)


async def _until(condition: Callable[[], Awaitable[bool]]) -> None:
    while not await condition():  # noqa: ASYNC110 - it asks another process
        await asyncio.sleep(0.02)


async def latency(server: PostgresServer) -> list[float]:
    """Return for each single event the ms from sending it to the commit of its row, sorted."""
    async with database(server) as connection:
        with tempfile.TemporaryDirectory() as folder, busway(folder) as (_, line):
            await _warm_up(port_of(line))
            await _until(lambda: _landed(connection, 1))
            sent = await _trickle(port_of(line))
            await _until(lambda: _landed(connection, 1 + SINGLES))
        rows = await connection.fetch(
            "SELECT order_id, pg_xact_commit_timestamp(xmin) AS at FROM orders WHERE order_id >= 0"
        )
        assert len(rows) == SINGLES
        return sorted((row["at"] - sent[row["order_id"]]).total_seconds() * 1000 for row in rows)


async def _warm_up(port: int) -> None:
    """Post one event, so that connections are open and tables made before the clock runs."""
    async with aiohttp.ClientSession() as session:
        await _post(session, port, -1)


async def _trickle(port: int) -> dict[int, datetime]:
    """Post single events at an even rate, whether or not earlier ones were answered."""
    sent: dict[int, datetime] = {}
    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
        began = time.perf_counter()
        for number in range(SINGLES):
            pause = began + number / SINGLES_PER_S - time.perf_counter()
            if pause > 0:
                await asyncio.sleep(pause)
            sent[number] = datetime.now(UTC)
            group.create_task(_post(session, port, number))
    return sent


async def _post(session: aiohttp.ClientSession, port: int, number: int) -> None:
    event = {
        "specversion": "1.0",
        "id": f"latency-{number}",
        "source": "/shop",
        "type": "order.created",
        "data": {"order_id": number, "customer": {"id": number % 1000}, "total": 1.5},
    }
    headers = {"Content-Type": "application/cloudevents+json"}
    url = f"http://127.0.0.1:{port}/events"
    async with session.post(url, json=event, headers=headers) as answer:
        assert answer.status == 202


async def memory(server: PostgresServer) -> tuple[float, float]:
    """Return the resident MB of an idle Busway, and of one with a backlog that cannot leave."""
    async with database(server):
        with tempfile.TemporaryDirectory() as folder, busway(folder) as (process, line):
            watched = psutil.Process(process.pid)
            await asyncio.sleep(2.0)
            idle = watched.memory_info().rss / MB
            server.stop(immediate=True)
            requests = BACKLOG // 1000
            options = ("--mode", "ndjson", "--requests", requests, "--connections", 4)
            await asyncio.to_thread(load, port_of(line), *options, "--seconds", 600)
            full = watched.memory_info().rss / MB
            server.start()
        return idle, full


async def _run() -> list[dict[str, Any]]:
    with postgres_server() as server:
        os.environ["BENCH_DSN"] = server.dsn
        connection = await asyncpg.connect(server.dsn)
        await connection.execute("ALTER SYSTEM SET track_commit_timestamp = on")
        await connection.close()
        server.stop()
        server.start()
        floors = [await floor(server) for _ in range(3)]
        measured = [await throughput(server) for _ in range(3)]
        times = await latency(server)
        p50, p99 = statistics.median(times), times[len(times) * 99 // 100]
        idle, full = await memory(server)
    return [
        {
            "what": "NDJSON in, Python step, PostgreSQL upsert, exactly once (rows/s)",
            "floor": max(floors),
            "measured": max(measured),
            "ratio": max(measured) / max(floors),
            "target": 0.5,
        },
        _limit("post to row visible, 500 single events/s, p50 (ms)", p50, 5),
        _limit("post to row visible, 500 single events/s, p99 (ms)", p99, 15),
        _limit("memory, idle (MB)", idle, 100),
        _limit(f"memory, {BACKLOG:,} events of backlog (MB)", full, 300),
    ]


def _limit(what: str, measured: float, limit: float) -> dict[str, Any]:
    return {"what": what, "floor": None, "measured": measured, "ratio": None, "limit": limit}


def run() -> list[dict[str, Any]]:
    """Return the rows of the pipeline budgets."""
    return asyncio.run(_run())


if __name__ == "__main__":
    for row in run():
        print(row)
