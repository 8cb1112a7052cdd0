"""What processes tell of their health: workers too, and only what is so."""

from __future__ import annotations

import re
import signal
import subprocess
from pathlib import Path

import httpx

from cluster_process import Cluster
from command import BUSWAY, DEADLINE_S, environment, get, until
from nats_cluster import nats_cluster
from postgres_server import PostgresServer
from shop_flows import PRINTED

WAITS = "waiting for a store"


def value(url: str, metric: str) -> float:
    """Return the value of a metric with its labels, 0 where it is not told."""
    text = get(f"{url}/metrics").text
    found = re.search(rf"^{re.escape(metric)} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def test_a_worker_with_a_port_tells_its_health_and_takes_nothing(cluster: Cluster) -> None:
    with cluster.working("shop.py", BUSWAY_PORT="0") as worker:
        url = worker.url
        assert get(f"{url}/healthz").status_code == 200
        until(lambda: get(f"{url}/readyz").text == "ready\n", "it has its lanes")
        assert value(url, 'busway_lanes_held{flow="orders"}') == 4
        assert value(url, 'busway_lease_changes_total{flow="orders",move="acquired"}') == 4
        assert value(url, "busway_heartbeat_age_seconds") < 60
        event = {"specversion": "1.0", "id": "1", "source": "/s", "type": "order.created"}
        for refused in (
            httpx.post(f"{url}/events", json=event, timeout=DEADLINE_S),
            get(f"{url}/flows"),
            get(f"{url}/"),
        ):
            assert refused.status_code == 404
            assert refused.json()["type"] == "urn:busway:problem:takes-no-events"
        assert worker.stop() == 0


def test_workers_without_a_port_do_not_listen(cluster: Cluster) -> None:
    with cluster.working("shop.py") as first, cluster.working("shop.py") as second:
        assert "http" not in first.ready + second.ready


def test_nobody_is_ready_while_the_database_is_away(
    cluster: Cluster, server: PostgresServer
) -> None:
    with (
        cluster.serving("shop.py") as intake,
        cluster.working("shop.py", BUSWAY_PORT="0") as worker,
    ):

        def readiness() -> tuple[int, int]:
            found = [get(f"{url}/readyz") for url in (intake.url, worker.url)]
            return found[0].status_code, found[1].status_code

        until(lambda: readiness() == (200, 200), "both are ready")
        server.stop(immediate=True)
        try:
            until(lambda: readiness() == (503, 503), "none is ready")
            assert "the log" in get(f"{intake.url}/readyz").text
            until(lambda: all(WAITS in each.log for each in (intake, worker)), "both say it")
            assert "busway_" in get(f"{worker.url}/metrics").text
            assert get(f"{worker.url}/healthz").status_code == 200
        finally:
            server.start()
        until(lambda: readiness() == (200, 200), "both are ready again")
        until(lambda: "the stores answer again" in worker.log, "it says that they are back")
    for each in (intake, worker):
        assert each.log.count(WAITS) <= 20, "a few lines, not one for each try"


def test_one_that_slept_tells_that_its_lanes_were_lost(cluster: Cluster) -> None:
    with (
        cluster.working("shop.py", BUSWAY_PORT="0") as first,
        cluster.working("shop.py", BUSWAY_PORT="0") as second,
    ):
        held = 'busway_lanes_held{flow="orders"}'
        until(lambda: (value(first.url, held), value(second.url, held)) == (2, 2), "shared")
        second.signal(signal.SIGSTOP)
        until(lambda: value(first.url, held) == 4, "the other one has them")
        second.signal(signal.SIGCONT)
        lost = 'busway_lease_changes_total{flow="orders",move="lost"}'
        until(lambda: value(second.url, lost) >= 2, "it noticed")
        until(lambda: (value(first.url, held), value(second.url, held)) == (2, 2), "shared")
        given = 'busway_lease_changes_total{flow="orders",move="released"}'
        until(lambda: value(first.url, given) >= 2, "they were given back")


def test_a_port_in_use_is_told(cluster: Cluster) -> None:
    with cluster.working("shop.py", BUSWAY_PORT="0") as worker:
        port = worker.url.rpartition(":")[2]
        done = subprocess.run(
            [BUSWAY, "work", "shop.py", "--engine", cluster.engine, "--port", port],
            cwd=cluster.cwd,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
    assert (done.returncode, done.stdout) == (1, "")
    assert f"cannot listen on 127.0.0.1 port {port}" in done.stderr


def test_an_intake_on_jetstream_goes_on_while_the_ledger_is_away(
    tmp_path: Path, engine: str, server: PostgresServer
) -> None:
    (tmp_path / "shop.py").write_text(PRINTED)
    event = {"id": "1", "data": {}}
    with nats_cluster(1) as nats:
        given = {"BUSWAY_LEDGER": engine, "BUSWAY_PORT": "0"}
        cluster = Cluster(nats.address("shop"), tmp_path)
        with (
            cluster.serving("shop.py", **given) as intake,
            cluster.working("shop.py", **given) as worker,
        ):
            until(lambda: get(f"{worker.url}/readyz").status_code == 200, "it works")
            server.stop(immediate=True)
            try:
                old = "the last heartbeat is too old"
                until(lambda: old in get(f"{worker.url}/readyz").text, "it does not")
                assert get(f"{intake.url}/readyz").status_code == 200
                assert intake.post(event).status_code == 202
            finally:
                server.start()
            settled = 'busway_events_total{flow="orders",outcome="delivered"}'
            until(lambda: value(worker.url, settled) == 1, "it is delivered when it is back")
