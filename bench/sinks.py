"""Sinks beside the bare driver doing the same writes: ``python bench/sinks.py``."""

from __future__ import annotations

import asyncio
import itertools
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import apsw
import asyncpg

sys.path.append(str(Path(__file__).resolve().parent.parent / "tests"))

from busway.ports import Load, Sink
from busway.sinks import postgres, sqlite
from postgres_server import postgres_server
from sink_load import KeptEvents, an_item, fresh

BATCH = 5_000
BATCHES = 20
ROUNDS = 3
TARGET = 0.5
CREATE = "CREATE TABLE orders (order_id {}, customer TEXT, total {}, PRIMARY KEY (order_id))"
UPSERT = (
    " ON CONFLICT (order_id) DO UPDATE SET customer = excluded.customer, total = excluded.total"
)


def loads() -> list[Load]:
    """Orders as a flow would hand them over."""
    numbers = itertools.count()
    items = (
        an_item(n, {"order_id": n, "customer": f"customer {n % 1000}", "total": n / 4})
        for n in numbers
    )
    return [fresh(list(itertools.islice(items, BATCH))) for _ in range(BATCHES)]


async def rate(write: Callable[[Load], Awaitable[Any]], work: list[Load]) -> float:
    """Return rows a second."""
    start = time.perf_counter()
    for load in work:
        await write(load)
    return BATCH * BATCHES / (time.perf_counter() - start)


async def through_sink(sink: Sink, work: list[Load]) -> float:
    """Return rows a second through the sink; each is delivered."""
    destination = await sink.open(KeptEvents())
    try:
        return await rate(destination.write, work)
    finally:
        await destination.close()


async def bare_sqlite(path: Path, work: list[Load]) -> float:
    """The floor: executemany in one transaction a batch."""
    connection = apsw.Connection(str(path))
    connection.pragma("journal_mode", "WAL")
    connection.pragma("synchronous", "FULL")
    connection.execute(CREATE.format("INTEGER", "REAL"))
    sql = "INSERT INTO orders (order_id, customer, total) VALUES (?, ?, ?)" + UPSERT

    async def write(load: Load) -> None:
        rows = [tuple(item.results[0].values()) for item in load.items]  # type: ignore[attr-defined]
        with connection:
            connection.executemany(sql, rows)

    try:
        return await rate(write, work)
    finally:
        connection.close()


async def bare_postgres(dsn: str, work: list[Load]) -> float:
    """The floor: COPY into a staging table and an upsert from it, in one transaction a batch."""
    connection = await asyncpg.connect(dsn)
    await connection.execute("DROP TABLE IF EXISTS orders")
    await connection.execute(CREATE.format("bigint", "double precision"))
    await connection.execute(
        "CREATE TEMP TABLE staging ON COMMIT DELETE ROWS AS SELECT * FROM orders WITH NO DATA"
    )
    sql = "INSERT INTO orders SELECT * FROM staging" + UPSERT

    async def write(load: Load) -> None:
        rows = [tuple(item.results[0].values()) for item in load.items]  # type: ignore[attr-defined]
        async with connection.transaction():
            await connection.copy_records_to_table("staging", records=rows)
            await connection.execute(sql)

    try:
        return await rate(write, work)
    finally:
        await connection.close()


async def sunk_postgres(dsn: str, work: list[Load]) -> float:
    """The sink's own rate, into an empty table and at the start of the lane."""
    connection = await asyncpg.connect(dsn)
    await connection.execute("DROP TABLE IF EXISTS orders, busway_position, busway_exception")
    await connection.execute(CREATE.format("bigint", "double precision"))
    await connection.close()
    return await through_sink(postgres(dsn, "orders", "order_id"), work)


async def measure() -> list[dict[str, Any]]:
    """Measure floor and sink in turn, and take the best of each."""
    work = loads()
    with tempfile.TemporaryDirectory() as name, postgres_server() as server:
        directory = Path(name)
        pairs: dict[str, list[tuple[float, float]]] = {"sqlite": [], "postgres": []}
        for turn in range(ROUNDS):
            floor = await bare_sqlite(directory / f"bare{turn}.db", work)
            path = directory / f"sink{turn}.db"
            ours = await through_sink(sqlite(str(path), "orders", "order_id", create=True), work)
            pairs["sqlite"].append((floor, ours))
            floor = await bare_postgres(server.dsn, work)
            pairs["postgres"].append((floor, await sunk_postgres(server.dsn, work)))
    return [_row(what, found) for what, found in pairs.items()]


def _row(what: str, pairs: list[tuple[float, float]]) -> dict[str, Any]:
    floor, ours = (max(values) for values in zip(*pairs, strict=True))
    return {
        "what": f"{what} sink, rows/s in batches of {BATCH:,}, exactly once",
        "floor": floor,
        "measured": ours,
        "ratio": ours / floor,
        "target": TARGET,
    }


def run() -> list[dict[str, Any]]:
    """Return a row for each sink: its floor, what was measured, the ratio and the target."""
    return asyncio.run(measure())


if __name__ == "__main__":
    for row in run():
        print(f"{row['what']}: {row['measured']:,.0f} of {row['floor']:,.0f} = {row['ratio']:.2f}")
