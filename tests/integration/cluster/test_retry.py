"""Parked events are retried by whoever has their lane, each attempt once."""

from __future__ import annotations

import json
import signal
from collections import Counter
from pathlib import Path

import pytest

from cluster_process import Cluster
from command import busway
from delivery_node import until
from http_target import Answer, Call, http_target
from lane_log import taken_away, taken_from_the_living

COUNT = 200
FLOWS = """
from busway import App, Backoff, env
from busway.sinks import http

app = App("shop")
app.flow(
    "orders",
    when={"type": ["order.created"]},
    to=http(env("TARGET")),
    retry=Backoff(first=0.5, factor=1.0, cap=0.5, attempts=20),
)
"""


@pytest.fixture
def cluster(tmp_path: Path, engine: str) -> Cluster:
    (tmp_path / "shop.py").write_text(FLOWS)
    return Cluster(engine, tmp_path)


async def delivered(cluster: Cluster) -> bool:
    found = await cluster.rows("SELECT sum(delivered)::int, sum(parked)::int FROM busway.lane")
    return tuple(found[0]) == (COUNT, 0)


@pytest.mark.parametrize("ending", [None, signal.SIGTERM, signal.SIGKILL])
async def test_each_attempt_is_one_workers(cluster: Cluster, ending: signal.Signals | None) -> None:
    calls: Counter[int] = Counter()

    def decide(call: Call) -> Answer:
        number = int(json.loads(call.body)["data"]["n"])
        calls[number] += 1
        return Answer(500 if number % 10 == 0 and calls[number] <= 3 else 200)

    async with http_target() as target:
        target.decide = decide
        more = {"TARGET": target.url}
        with (
            cluster.serving("shop.py", **more) as server,
            cluster.working("shop.py", **more) as first,
            cluster.working("shop.py", **more) as second,
        ):

            async def shared() -> bool:
                pids = {first.process.pid, second.process.pid}
                return set((await cluster.holders("orders")).values()) == pids

            await until(shared, "both have lanes")
            events = [{"id": str(n), "subject": f"k{n}", "data": {"n": n}} for n in range(COUNT)]
            assert server.post(*events).status_code == 202
            await until(lambda: sum(calls.values()) > COUNT, "some are tried again")
            if ending is not None:
                second.signal(ending)
            await until(lambda: delivered(cluster), "all are delivered")
            assert len(calls) == COUNT
            log = first.log + second.log
            assert not taken_from_the_living(log)
            if ending is not signal.SIGKILL and not taken_away(log):
                tried = {number: 4 if number % 10 == 0 else 1 for number in range(COUNT)}
                assert calls == tried, "nothing is tried by both"
    checked = busway("check", cwd=cluster.cwd, BUSWAY_ENGINE=cluster.engine)
    assert checked.code == 0, checked.out + checked.err
