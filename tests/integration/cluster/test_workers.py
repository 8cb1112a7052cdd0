"""``busway workers``: who works what, who is gone, and what nobody works."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from busway.control.cluster import GONE_AFTER, cluster_status
from busway.control.context import ControlContext
from busway.control.worker import DUTY, WORKER, WorkerRecord
from busway.lane import LeaseRequest
from busway.named_value import ValueChange
from busway.testing import ManualClock, MemoryLedger, MemoryLog
from cluster_process import Cluster
from command import busway, get, until
from shop_flows import PRINTED

MORE = f"""{PRINTED}
app.flow("sales", when={{"type": ["order.created"]}}, to=console())
"""


@pytest.fixture
def cluster(cluster: Cluster) -> Cluster:
    """It has a flow more in ``more.py``."""
    (cluster.cwd / "more.py").write_text(MORE)
    return cluster


def shown(cluster: Cluster) -> Any:
    done = busway("workers", "--json", cwd=cluster.cwd, BUSWAY_ENGINE=cluster.engine)
    assert done.code == 0, done.err
    return done.json()


def test_a_person_sees_who_works_what_and_what_nobody_works(cluster: Cluster) -> None:
    with cluster.serving("more.py") as server, cluster.working("shop.py") as worker:

        def told(what: str) -> Any:
            found = get(f"{server.url}/api/v1/workers").json()["workers"]
            return found[0][what] if found else ()

        until(lambda: told("lanes") == {"orders": [0, 1, 2, 3]}, "it has its lanes")
        until(lambda: "maintenance" in told("duties"), "it has duties, which it takes after lanes")
        found = shown(cluster)
        assert found["unassigned_flows"] == ["sales"]
        (one,) = found["workers"]
        assert (one["pid"], one["state"]) == (worker.process.pid, "working")
        assert "maintenance" in one["duties"]
        status = busway("status", cwd=cluster.cwd, BUSWAY_ENGINE=cluster.engine).out
        assert "Nobody works: sales" in status
        assert f":{worker.process.pid}  working" in status
        assert "orders/0,1,2,3" in status
        assert worker.stop() == 0
        assert shown(cluster) == {"workers": [], "unassigned_flows": ["orders", "sales"]}


async def test_who_has_not_beaten_for_a_while_is_gone_and_works_nothing() -> None:
    clock, ledger = ManualClock(), MemoryLedger()
    control = ControlContext(log=MemoryLog(2), ledger=ledger, shared=True, clock=clock)
    for flow in ("orders", "sales"):
        await ledger.open_lane(flow, 0, 0)
    await ledger.open_lane("orders@1", 0, 0)
    await ledger.lease([LeaseRequest("orders", 0, 0, "a"), LeaseRequest("sales", 0, 0, "b")])
    at = clock.now()
    for id, flow in (("a", "orders"), ("b", "sales")):
        record = WorkerRecord(1, at, at, "here", 1, {flow: "v1"})
        await ledger.put_value(WORKER + id, msgspec.json.encode(record))
    await ledger.change_values([ValueChange(DUTY + "maintenance", b"b")])
    found = await cluster_status(control)
    assert [(one.state, one.lanes, one.duties) for one in found.workers] == [
        ("working", {"orders": [0]}, []),
        ("working", {"sales": [0]}, ["maintenance"]),
    ]
    assert found.unassigned_flows == []
    await clock.advance(GONE_AFTER.total_seconds() + 1)
    leaving = WorkerRecord(2, clock.now(), at, "here", 1, {"sales": "v1"}, leaving=True)
    await ledger.put_value(WORKER + "b", msgspec.json.encode(leaving))
    found = await cluster_status(control)
    assert [one.state for one in found.workers] == ["gone", "leaving"]
    assert found.unassigned_flows == ["orders"]


async def test_one_process_alone_has_no_workers() -> None:
    ledger = MemoryLedger()
    await ledger.open_lane("orders", 0, 0)
    found = await cluster_status(ControlContext(log=MemoryLog(1), ledger=ledger))
    assert (found.workers, found.unassigned_flows) == ((), ())
