"""A log that has lost what flows had read: what comes then is delivered, and the loss is told."""

from __future__ import annotations

from pathlib import Path

from busway.clock import SystemClock
from busway.control.move.mover import Mover
from busway.engine.move import open_origin, target_of
from busway.settings import Settings
from cluster_process import Cluster
from command import busway, running, until
from directory import PARTITIONS, append, held, held_by, make_directory, opened
from nats_admin import request
from nats_cluster import NatsCluster
from shop_flows import KEPT, kept


def orders(first: int, end: int) -> list[dict[str, object]]:
    return [{"id": str(n), "data": {"id": n}} for n in range(first, end)]


async def test_events_after_a_purge_of_a_partition_are_not_taken_for_settled(
    tmp_path: Path, engine: str, nats: NatsCluster
) -> None:
    (tmp_path / "shop.py").write_text(KEPT)
    name = engine.rpartition("/")[2]
    place = {"BUSWAY_ENGINE": nats.address(name), "BUSWAY_LEDGER": engine}
    with running("shop.py", cwd=tmp_path, BUSWAY_PARTITIONS="2", **place) as server:
        for first in range(0, 100, 10):
            assert server.post(*orders(first, first + 10)).json()["accepted"] == 10
        until(lambda: kept(tmp_path) == list(range(100)), "all have a row")
        server.stop()
    await request(nats, f"$JS.API.STREAM.PURGE.{name}", {"filter": f"{name}.0"})
    cluster = Cluster(place["BUSWAY_ENGINE"], tmp_path)
    ledger = {"BUSWAY_LEDGER": engine}
    with cluster.serving("shop.py", **ledger) as intake, cluster.working("shop.py", **ledger):
        assert intake.log.count("the log ends before the flows' cursors") == 1
        for first in range(100, 160, 10):
            answer = intake.post(*orders(first, first + 10))
            assert (answer.status_code, answer.json()["accepted"]) == (202, 10)
        until(lambda: kept(tmp_path) == list(range(160)), "every new one has a row")
    checked = busway("check", cwd=tmp_path, **place)
    assert checked.code == 0, checked.out + checked.err
    with running("shop.py", cwd=tmp_path, **place) as server:
        assert "the log has lost events" not in server.log
        assert server.post(*orders(155, 165)).json() == {"accepted": 5, "duplicates": 5}
        until(lambda: kept(tmp_path) == list(range(165)), "it goes on")


async def test_a_log_with_holes_is_moved_as_it_is(tmp_path: Path, settings: Settings) -> None:
    path = tmp_path / "data"
    await make_directory(path, 500)
    async with opened(path) as stores:
        for partition in range(PARTITIONS):
            await stores.log.skip_to(partition, 700)
        await append(stores.log, 100, first=500)
        for partition in (0, 2):
            await stores.log.skip_to(partition, 900)
        await stores.log.skip_to(2, 950)
    before = await held(path)
    assert before["bounds"] == [(50, 900), (50, 800), (50, 950)]
    origin = await open_origin(path)
    try:
        target = target_of(settings)
        report = await Mover(origin, target, SystemClock(), lambda *_: None).move("ann")
    finally:
        await origin.close()
    assert [one.end for one in report.partitions] == [900, 800, 950]
    assert await held_by(settings) == before
