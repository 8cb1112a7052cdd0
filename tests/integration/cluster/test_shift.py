"""Several workers: lanes are shared, move when one ends or dies, and nothing lands twice."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from textwrap import dedent
from typing import Any

import asyncpg
import pytest

from busway.delivery.rebalance import DEAD_AFTER_S
from cluster_process import Cluster, Watch, Worker
from command import Server, busway
from delivery_node import until
from lane_log import taken_from_the_living
from postgres_server import PostgresServer

EVENTS = 20_000
FLOWS = """
from busway import App, env
from busway.sinks import postgres

app = App("shop")

@app.flow(when={"type": ["order.created"]}, to=postgres(env("TARGET"), table="orders"))
def orders(event):
    return {"number": event.data["n"]}
"""
SETUP = "CREATE TABLE orders (number bigint NOT NULL)"
NOTE_BEATS = """
CREATE TABLE beat (worker text, at timestamptz DEFAULT clock_timestamp());
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN INSERT INTO public.beat VALUES (NEW.name); RETURN NULL; END';
CREATE TRIGGER note AFTER INSERT OR UPDATE ON busway.named_value
    FOR EACH ROW WHEN (NEW.name LIKE 'worker/%') EXECUTE FUNCTION note();
"""
LONGEST_SILENCE = """
SELECT extract(epoch FROM max(later - greatest(at, pg_postmaster_start_time())))::float
FROM (SELECT at, coalesce(lead(at, 2) OVER (PARTITION BY worker ORDER BY at), clock_timestamp())
    AS later FROM beat) AS silence
WHERE later > pg_postmaster_start_time()
"""
"""While the server ran: from one beat to the one after the next, which begins when that is seen."""


@pytest.fixture
async def cluster(tmp_path: Path, engine: str) -> Cluster:
    (tmp_path / "shop.py").write_text(FLOWS)
    (tmp_path / ".env").write_text(f"TARGET={engine}\nBUSWAY_PARTITIONS=8\n")
    found = Cluster(engine, tmp_path)
    await found.rows(SETUP)
    return found


def orders(first: int, end: int) -> list[dict[str, Any]]:
    return [{"id": str(n), "subject": f"k{n % 100}", "data": {"n": n}} for n in range(first, end)]


def send(server: Server, first: int, end: int) -> None:
    for at in range(first, end, 1_000):
        answer = server.post(*orders(at, min(at + 1_000, end)))
        assert answer.status_code == 202, answer.text


async def numbers(cluster: Cluster) -> list[int]:
    return [one for (one,) in await cluster.rows("SELECT number FROM orders ORDER BY number")]


async def all_landed_once(cluster: Cluster, count: int) -> None:
    async def landed() -> bool:
        ((found,),) = await cluster.rows("SELECT count(*) FROM orders")
        return bool(found >= count)

    await until(landed, f"{count} events landed")
    assert await numbers(cluster) == list(range(count))
    checked = busway("check", cwd=cluster.cwd, BUSWAY_ENGINE=cluster.engine)
    assert checked.code == 0, checked.out + checked.err


async def spread(cluster: Cluster, *workers: Worker) -> None:
    """Return once these workers have all lanes, as many each."""
    each = {worker.process.pid: 8 // len(workers) for worker in workers}

    async def even() -> bool:
        return dict(Counter((await cluster.holders("orders")).values())) == each

    await until(even, "all have as many lanes")


async def note_beats(cluster: Cluster) -> None:
    """Have the database note from now on when it gets which beat."""
    connection = await asyncpg.connect(cluster.engine)
    try:
        await connection.execute(NOTE_BEATS)
    finally:
        await connection.close()


@asynccontextmanager
async def two_workers(cluster: Cluster) -> AsyncIterator[tuple[Server, Worker, Worker]]:
    """Run an intake and two workers, each with half of the lanes when the block begins."""
    with (
        cluster.serving("shop.py") as server,
        cluster.working("shop.py") as first,
        cluster.working("shop.py") as second,
    ):
        await spread(cluster, first, second)
        yield server, first, second


async def test_two_workers_and_an_intake_deliver_each_event_once(cluster: Cluster) -> None:
    async with two_workers(cluster) as (server, first, second):
        send(server, 0, EVENTS)
        await all_landed_once(cluster, EVENTS)
        await until(lambda: "settled" in first.log and "settled" in second.log, "both say so")
        assert first.stop() == second.stop() == 0
    assert not taken_from_the_living(first.log + second.log)


async def test_the_lanes_of_a_killed_worker_move(cluster: Cluster) -> None:
    async with two_workers(cluster) as (server, first, second):
        send(server, 0, EVENTS // 2)
        second.signal(signal.SIGKILL)
        send(server, EVENTS // 2, EVENTS)
        await spread(cluster, first)
        await all_landed_once(cluster, EVENTS)


async def test_a_worker_that_stops_gives_its_lanes_away(cluster: Cluster) -> None:
    async with two_workers(cluster) as (server, first, second):
        send(server, 0, 2_000)
        workers = "SELECT DISTINCT worker FROM busway.lane WHERE worker IS NOT NULL"
        assert len(await cluster.rows(workers)) == 2
        assert second.stop() == 0
        assert len(await cluster.rows(workers)) == 1
        await spread(cluster, first)
        send(server, 2_000, 4_000)
        await all_landed_once(cluster, 4_000)


async def test_one_that_slept_past_its_lease_settles_nothing(cluster: Cluster) -> None:
    slow = FLOWS.replace("    return", "    time.sleep(0.002)\n    return")
    (cluster.cwd / "shop.py").write_text(f"import time\n{slow}")
    async with two_workers(cluster) as (server, first, second):
        send(server, 0, 4_000)
        second.signal(signal.SIGSTOP)
        send(server, 4_000, 5_000)
        await spread(cluster, first)
        await all_landed_once(cluster, 5_000)
        second.signal(signal.SIGCONT)
        await spread(cluster, first, second)
        assert "lost to another worker" in second.log
        send(server, 5_000, 6_000)
        await all_landed_once(cluster, 6_000)


async def test_lanes_stay_where_they_are_while_the_database_is_away(
    cluster: Cluster, server: PostgresServer
) -> None:
    async with two_workers(cluster) as (intake, first, second):
        send(intake, 0, 2_000)
        await all_landed_once(cluster, 2_000)
        await note_beats(cluster)
        before = await cluster.rows(
            "SELECT partition, worker, fencing_token FROM busway.lane ORDER BY 1"
        )
        server.stop(immediate=True)
        watch = Watch()
        await until(lambda: watch.passed_s > 2 * DEAD_AFTER_S, "all beats are long overdue")
        server.start()
        await until(lambda: intake.post(*orders(2_000, 3_000)).status_code == 202, "it is back")
        send(intake, 3_000, 6_000)
        await all_landed_once(cluster, 6_000)
        after = await cluster.rows(
            "SELECT partition, worker, fencing_token FROM busway.lane ORDER BY 1"
        )
        ((silence_s,),) = await cluster.rows(LONGEST_SILENCE)
        assert after == before or silence_s >= DEAD_AFTER_S, silence_s
        assert first.stop() == second.stop() == 0


async def test_a_flow_that_the_new_file_renames_moves_to_its_workers(cluster: Cluster) -> None:
    renamed = FLOWS.replace("@app.flow(when", '@app.flow("sales", renamed_from="orders", when')
    (cluster.cwd / "next.py").write_text(renamed)
    with cluster.serving("shop.py") as server, cluster.working("shop.py") as before:
        await spread(cluster, before)
        send(server, 0, 2_000)
        with cluster.working("next.py") as after:

            async def moved() -> bool:
                holders = await cluster.holders("sales")
                return set(holders.values()) == {after.process.pid}

            await until(moved, "the new worker has all lanes")
            send(server, 2_000, 4_000)
            await all_landed_once(cluster, 4_000)
            done = busway("flows", "remove", "sales", cwd=cluster.cwd, BUSWAY_ENGINE=cluster.engine)
            assert "is declared and running" in done.err


async def test_old_and_new_flows_files_run_side_by_side(cluster: Cluster) -> None:
    old = FLOWS + dedent("""
        app.flow("gone", when={"type": ["order.created"]}, to=postgres(env("TARGET"), "old"))
    """)
    new = FLOWS.replace('event.data["n"]}', 'event.data["n"] + 0}') + dedent("""
        app.flow("added", when={"type": ["order.created"]}, to=postgres(env("TARGET"), "new"))
    """)
    (cluster.cwd / "shop.py").write_text(old)
    (cluster.cwd / "next.py").write_text(new)
    await cluster.rows("CREATE TABLE old (n bigint)")
    await cluster.rows("CREATE TABLE new (n bigint)")
    with (
        cluster.serving("shop.py") as server,
        cluster.working("shop.py") as before,
        cluster.working("next.py") as after,
    ):
        await spread(cluster, before, after)

        async def apart() -> bool:
            mine = set((await cluster.holders("gone")).values())
            theirs = set((await cluster.holders("added")).values())
            return (mine, theirs) == ({before.process.pid}, {after.process.pid})

        await until(apart, "each works what only it has")
        send(server, 0, 4_000)
        await all_landed_once(cluster, 4_000)

        async def both() -> bool:
            ((olds, news),) = await cluster.rows(
                "SELECT (SELECT count(*) FROM old), (SELECT count(*) FROM new)"
            )
            return (olds, news) == (4_000, 4_000)

        await until(both, "what only one of them has is delivered by that one")

        async def settled() -> bool:
            versions = "SELECT DISTINCT version FROM busway.settled_range WHERE flow = 'orders'"
            return len(await cluster.rows(versions)) == 2

        await until(settled, "each has settled what it delivered, under its own version")
