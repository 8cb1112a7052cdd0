"""From HTTP to PostgreSQL, exactly once: how much, how soon, in how much memory."""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from datetime import UTC, datetime
from typing import Any

import aiohttp
import asyncpg
import msgspec
import psutil
from engine import ENGINES, Engine, chosen
from process import HERE, load, port_of, started, without_settings

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
ROUNDS = 3
WORKERS = (1, 2, 4)
CLUSTER_BACKLOG = 1_000_000
WHAT = "NDJSON in, Python step, PostgreSQL upsert, exactly once (rows/s)"
SOON = "post to row visible, 500 single events/s"


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


class Running(msgspec.Struct, frozen=True):
    """Busway's processes, and the port of the one that takes events."""

    port: int
    pids: list[int]


@contextmanager
def busway(engine: Engine, workers: int = 0) -> Iterator[Running]:
    """Start Busway on the flow of these benchmarks: one process for all, or with workers.

    On servers these are processes beside an intake, in a data directory ``--workers`` of one.
    """
    flows, place = HERE / "flows_postgres.py", engine.fresh().options
    options = [flows, "--port", 0, *place]
    apart = workers if engine.pids() else 0
    if apart:
        command: list[object] = ["-m", "busway", "serve", *options]
    else:
        command = ["-m", "busway", "run", *options, *(["--workers", workers] if workers else [])]
    with ExitStack() as stack:
        stack.enter_context(without_settings(BENCH_DSN=os.environ["BENCH_DSN"]))
        process, line = stack.enter_context(started(command))
        work = ["-m", "busway", "work", flows, *place]
        working = [stack.enter_context(started(work)) for _ in range(apart)]
        pids = [process.pid, *(worker.pid for worker, _ in working)]
        yield Running(port_of(line), pids)


async def throughput(engine: Engine, server: PostgresServer, workers: int) -> float:
    """Return rows a second from the first request to the last row."""
    total = REQUESTS * 1000
    async with database(server) as connection:
        with busway(engine, workers) as running:
            if workers:
                await _warm_up(running.port)
                await _until(lambda: _landed(connection, 1))
            options = ("--mode", "ndjson", "--requests", REQUESTS, "--connections", 4)
            began = time.perf_counter()
            sent = asyncio.to_thread(load, running.port, *options, "--seconds", 300)
            landed = total + bool(workers)
            await asyncio.gather(sent, _until(lambda: _landed(connection, landed)))
            return total / (time.perf_counter() - began)


async def _landed(connection: asyncpg.Connection[Any], total: int) -> bool:
    if not await connection.fetchval("SELECT to_regclass('busway_position') IS NOT NULL"):
        return False
    decided = await connection.fetchval("SELECT sum(position - start) FROM busway_position")
    return bool(decided == total)


async def _until(condition: Callable[[], Awaitable[bool]]) -> None:
    while not await condition():  # noqa: ASYNC110 - it asks another process
        await asyncio.sleep(0.02)


async def latency(engine: Engine, server: PostgresServer, workers: int) -> list[float]:
    """Return for each single event the ms from sending it to the commit of its row, sorted."""
    async with database(server) as connection:
        with busway(engine, workers) as running:
            await _warm_up(running.port)
            await _until(lambda: _landed(connection, 1))
            sent = await _trickle(running.port)
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


async def memory(engine: Engine, workers: int, backlog: int) -> list[tuple[float, float]]:
    """Return the resident MB of each process, idle, and with a backlog that cannot leave."""
    with postgres_server() as away, _destination(away):
        async with database(away):
            with busway(engine, workers) as running:
                watched = [psutil.Process(pid) for pid in running.pids]
                await asyncio.sleep(2.0)
                idle = [process.memory_info().rss / MB for process in watched]
                away.stop(immediate=True)
                options = ("--mode", "ndjson", "--requests", backlog // 1000, "--connections", 4)
                await asyncio.to_thread(load, running.port, *options, "--seconds", 600)
                full = [process.memory_info().rss / MB for process in watched]
                away.start()
            return list(zip(idle, full, strict=True))


@contextmanager
def _destination(server: PostgresServer) -> Iterator[None]:
    """Have flows load into a server."""
    before = os.environ.get("BENCH_DSN", "")
    os.environ["BENCH_DSN"] = server.dsn
    try:
        yield
    finally:
        os.environ["BENCH_DSN"] = before


async def _timed(server: PostgresServer) -> None:
    """Have the server note when each transaction was committed."""
    connection = await asyncpg.connect(server.dsn)
    await connection.execute("ALTER SYSTEM SET track_commit_timestamp = on")
    await connection.close()
    server.stop()
    server.start()


async def _shared(engine: Engine, server: PostgresServer) -> dict[int, float]:
    """Return rows a second by how many workers share the lanes."""
    found = {}
    for workers in WORKERS:
        found[workers] = max([await throughput(engine, server, workers) for _ in range(ROUNDS)])
    return found


async def _embedded(engine: Engine) -> list[dict[str, Any]]:
    with postgres_server() as server, _destination(server):
        await _timed(server)
        floors = [await floor(server) for _ in range(ROUNDS)]
        measured = [await throughput(engine, server, 0) for _ in range(ROUNDS)]
        shared = await _shared(engine, server)
        times = await latency(engine, server, 0)
    ((idle, full),) = await memory(engine, 0, BACKLOG)
    return [
        _rate(WHAT, max(floors), max(measured), 0.5),
        *(_rate(f"{WHAT}, --workers {n}", max(floors), rate) for n, rate in shared.items()),
        _limit(f"{SOON}, p50 (ms)", statistics.median(times), 5),
        _limit(f"{SOON}, p99 (ms)", times[len(times) * 99 // 100], 15),
        _limit("memory, idle (MB)", idle, 100),
        _limit(f"memory, {BACKLOG:,} events of backlog (MB)", full, 300),
    ]


async def _on_cluster(engine: Engine) -> list[dict[str, Any]]:
    with postgres_server() as server, _destination(server):
        await _timed(server)
        floors = [await floor(server) for _ in range(ROUNDS)]
        measured = await _shared(engine, server)
        times = await latency(engine, server, 1)
    serving, working = await memory(engine, 1, CLUSTER_BACKLOG)
    backlog = f"{CLUSTER_BACKLOG:,} events of backlog (MB)"
    return [
        *(
            _rate(f"{WHAT}, {workers} worker{'s' * (workers > 1)}", max(floors), rate)
            for workers, rate in measured.items()
        ),
        _limit(f"{SOON}, p50 (ms)", statistics.median(times)),
        _limit(f"{SOON}, p99 (ms)", times[len(times) * 99 // 100]),
        _limit("memory of an intake, idle (MB)", serving[0], 100),
        _limit("memory of a worker, idle (MB)", working[0], 100),
        _limit(f"memory of an intake, {backlog}", serving[1], 300),
        _limit(f"memory of a worker, {backlog}", working[1], 300),
    ]


def _rate(what: str, floor: float, measured: float, target: float | None = None) -> dict[str, Any]:
    ratio = measured / floor
    return {"what": what, "floor": floor, "measured": measured, "ratio": ratio, "target": target}


def _limit(what: str, measured: float, limit: float | None = None) -> dict[str, Any]:
    return {"what": what, "floor": None, "measured": measured, "ratio": None, "limit": limit}


def run(engine: Engine) -> list[dict[str, Any]]:
    """Return the rows of the pipeline budgets."""
    return asyncio.run(_on_cluster(engine) if engine.pids() else _embedded(engine))


if __name__ == "__main__":
    with ENGINES[chosen()]() as chosen_engine:
        for row in run(chosen_engine):
            print(row)
