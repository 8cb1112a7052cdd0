"""What is done once in the installation: redrives, replays, alerts, upkeep, and rates together."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from cluster_process import Cluster, Worker
from command import busway
from delivery_node import until

FLOWS = """
from busway import App, Reject, env
from busway.alerts import dead_letters
from busway.sinks import postgres
from pathlib import Path
from time import sleep

app = App("shop")

@app.flow(when={"type": ["order.created"]}, to=postgres(env("TARGET"), "orders"))
def orders(event):
    if event.data.get("bad") and not Path("mended").exists():
        raise Reject("bad")
    while event.data.get("last") and Path("held").exists():
        sleep(0.01)
    return {"number": event.data["n"]}

@app.flow(when={"type": ["slow"]}, to=postgres(env("TARGET"), "slow"), rate="100/s burst 40")
def slow(event):
    return {"number": event.data["n"]}

@app.flow(when={"type": [{"prefix": "busway.alert."}]}, to=postgres(env("TARGET"), "told"))
def told(event):
    return {"state": event.data["state"]}

app.alert("orders fail", dead_letters(flow="orders", above=0))
"""
DEAD = "SELECT sum(dead)::int FROM busway.lane WHERE flow = 'orders'"
UNKNOWN_S = 1.0
"""How long a worker may not know that it shares."""
TABLES = (
    "CREATE TABLE orders (number bigint NOT NULL)",
    "CREATE TABLE slow (number bigint NOT NULL, at timestamptz DEFAULT clock_timestamp())",
    "CREATE TABLE told (state text NOT NULL)",
)


@pytest.fixture
async def cluster(tmp_path: Path, engine: str) -> Cluster:
    (tmp_path / "shop.py").write_text(FLOWS)
    (tmp_path / ".env").write_text(f"TARGET={engine}\nBUSWAY_PARTITIONS=4\n")
    found = Cluster(engine, tmp_path)
    for table in TABLES:
        await found.rows(table)
    return found


async def count(cluster: Cluster, table: str) -> int:
    ((found,),) = await cluster.rows(f"SELECT count(*) FROM {table}")
    return int(found)


async def grown(cluster: Cluster, table: str, least: int) -> None:
    async def enough() -> bool:
        return await count(cluster, table) >= least

    await until(enough, f"{table} has {least} rows")


async def shared(cluster: Cluster, flow: str, *workers: Worker) -> None:
    """Return once all of these have lanes of a flow."""

    async def both() -> bool:
        holders = set((await cluster.holders(flow)).values())
        return holders == {one.process.pid for one in workers}

    await until(both, "all have lanes")


async def on_duty(cluster: Cluster, duty: str, *workers: Worker) -> Worker:
    """Return the worker that has a duty."""
    found: list[Worker] = []

    async def known() -> bool:
        rows = await cluster.rows(
            """SELECT convert_from(w.value, 'utf8')::json->>'pid' FROM busway.named_value d
            JOIN busway.named_value w ON w.name = 'worker/' || convert_from(d.value, 'utf8')
            WHERE d.name = $1""",
            f"duty/{duty}",
        )
        found[:] = [one for one in workers for (pid,) in rows if one.process.pid == int(pid)]
        return bool(found)

    await until(known, f"somebody has the duty {duty}")
    return found[0]


async def replaying(cluster: Cluster, flow: str) -> list[int]:
    """Return the processes that told with their last beats that they replay a flow."""
    rows = await cluster.rows(
        """SELECT (beat->>'pid')::int FROM busway.named_value,
            LATERAL (SELECT convert_from(value, 'utf8')::jsonb) AS told (beat)
        WHERE name LIKE 'worker/%' AND beat->'replays' ? $1""",
        flow,
    )
    return [pid for (pid,) in rows]


def ask(cluster: Cluster, *arguments: str, url: str = "") -> str:
    where = {"BUSWAY_URL": url} if url else {"BUSWAY_ENGINE": cluster.engine}
    done = busway(*arguments, cwd=cluster.cwd, **where)
    assert done.code == 0, done.out + done.err
    return done.out


async def test_a_rate_holds_for_two_workers_together(cluster: Cluster) -> None:
    with (
        cluster.serving("shop.py") as server,
        cluster.working("shop.py") as first,
        cluster.working("shop.py") as second,
    ):
        await shared(cluster, "slow", first, second)
        events = [
            {"id": f"s{n}", "subject": f"k{n}", "type": "slow", "data": {"n": n}}
            for n in range(600)
        ]
        ((began,),) = await cluster.rows("SELECT clock_timestamp()")
        assert server.post(*events).status_code == 202
        await grown(cluster, "slow", 600)
    ((took,),) = await cluster.rows("SELECT extract(epoch FROM max(at) - $1) FROM slow", began)
    most = 100 * (float(took) + UNKNOWN_S) + 2 * 40 + 2
    assert most >= 600, f"600 at 100/s took {took} s"
    ((fastest,),) = await cluster.rows(
        """SELECT extract(epoch FROM min(until - at))
        FROM (SELECT at, lead(at, 300) OVER (ORDER BY at) AS until FROM slow) AS stretch"""
    )
    alone_s = (300 - 20 - 40) / 50  # at half of the rate, after a burst and what was on its way
    assert float(fastest) < alone_s, "both together come near to the rate"


async def test_a_redrive_goes_on_when_its_worker_dies_and_alerts_are_told_once(
    cluster: Cluster,
) -> None:
    with (
        cluster.serving("shop.py") as server,
        cluster.working("shop.py") as first,
        cluster.working("shop.py") as second,
    ):
        await shared(cluster, "orders", first, second)
        events = [
            {"id": f"o{n}", "subject": f"k{n}", "data": {"n": n, "bad": True}} for n in range(300)
        ]
        assert server.post(*events).status_code == 202
        await grown(cluster, "told", 1)

        async def dead() -> bool:
            return await cluster.rows(DEAD) == [(300,)]

        await until(dead, "all are dead")
        (cluster.cwd / "mended").touch()
        ask(cluster, "dead", "redrive", "--flow", "orders", "--rate", "60/s")
        await grown(cluster, "orders", 30)
        worker = await on_duty(cluster, "redrive", first, second)
        worker.signal(signal.SIGKILL)
        await grown(cluster, "orders", 300)
        assert await cluster.rows("SELECT number FROM orders ORDER BY 1") == [
            (n,) for n in range(300)
        ]
        await grown(cluster, "told", 2)
        states = await cluster.rows("SELECT state FROM told ORDER BY ctid")
        assert states == [("raised",), ("cleared",)]
    ask(cluster, "check")


async def test_a_replay_goes_on_when_its_worker_dies(cluster: Cluster) -> None:
    (cluster.cwd / "mended").touch()
    with (
        cluster.serving("shop.py") as server,
        cluster.working("shop.py") as first,
        cluster.working("shop.py") as second,
    ):
        await shared(cluster, "orders", first, second)
        events = [
            {"id": f"o{n}", "subject": f"k{n}", "data": {"n": n, "last": n == 299}}
            for n in range(300)
        ]
        assert server.post(*events).status_code == 202
        await grown(cluster, "orders", 300)
        (cluster.cwd / "held").touch()  # so that it is not over, however long this takes
        wanted = ("orders", "--from", "1h", "--force", "--rate", "60/s")
        ask(cluster, "replay", "start", *wanted, url=server.url)
        await grown(cluster, "orders", 330)

        async def told() -> bool:
            worker = await on_duty(cluster, "replay/orders", first, second)
            return await replaying(cluster, "orders") == [worker.process.pid]

        await until(told, "who has the duty tells that it replays")
        worker = await on_duty(cluster, "replay/orders", first, second)
        worker.signal(signal.SIGKILL)
        (cluster.cwd / "held").unlink()
        await grown(cluster, "orders", 600)
        pairs = await cluster.rows("SELECT number, count(*) FROM orders GROUP BY 1 ORDER BY 1")
        assert pairs == [(n, 2) for n in range(300)]
    ask(cluster, "check")


async def test_one_of_the_workers_trims_and_takes_over_when_another_stops(
    cluster: Cluster,
) -> None:
    (cluster.cwd / "mended").touch()
    with (
        cluster.serving("shop.py") as server,
        cluster.working("shop.py", BUSWAY_RETENTION_AGE_S="0.5") as first,
        cluster.working("shop.py", BUSWAY_RETENTION_AGE_S="0.5") as second,
    ):
        await shared(cluster, "orders", first, second)
        worker = await on_duty(cluster, "maintenance", first, second)
        assert worker.stop() == 0
        assert server.post({"id": "1", "data": {"n": 1}}).status_code == 202
        await grown(cluster, "orders", 1)

        async def trimmed() -> bool:
            return await count(cluster, "busway.batch") == 0

        await until(trimmed, "the log is trimmed")
