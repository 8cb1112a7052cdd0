"""Sources that are read by one of several workers: another one takes over within seconds."""

from __future__ import annotations

import signal
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from busway.control.source.reader import ReaderRecord
from busway.control.source.record import SourceCounts
from cluster_process import Cluster, Worker
from delivery_node import until

FLOWS = """
from busway import App, env
from busway.sinks import postgres
from busway.sources import schedule

app = App("shop")
app.source(schedule("often", type="tick", every="1s"))
app.flow("ticks", when={"type": ["tick"]}, to=postgres(env("TARGET"), "ticks"),
         steps=[lambda event: {"id": event.id}])
"""
TABLE = "CREATE TABLE ticks (id text NOT NULL)"
SECOND = timedelta(seconds=1)


@pytest.fixture
async def ticking(tmp_path: Path, engine: str) -> Cluster:
    (tmp_path / "shop.py").write_text(FLOWS)
    (tmp_path / ".env").write_text(f"TARGET={engine}\nBUSWAY_PARTITIONS=2\n")
    found = Cluster(engine, tmp_path)
    await found.rows(TABLE)
    return found


async def kept(cluster: Cluster, name: str) -> bytes:
    rows = await cluster.rows("SELECT value FROM busway.named_value WHERE name = $1", name)
    return bytes(rows[0][0]) if rows else b"{}"


async def accepted(cluster: Cluster) -> int:
    value = await kept(cluster, "source-counts/often")
    return msgspec.json.decode(value, type=SourceCounts).accepted


async def more_come(cluster: Cluster, count: int) -> None:
    """Return once so many more ticks have come."""
    least = await accepted(cluster) + count

    async def come() -> bool:
        return await accepted(cluster) >= least

    await until(come, f"{count} ticks come")


async def reader(cluster: Cluster, *workers: Worker) -> Worker | None:
    """Return the worker that reads the source, if it is one of these."""
    record = msgspec.json.decode(await kept(cluster, "reader/often"), type=ReaderRecord)
    beat = msgspec.json.decode(await kept(cluster, f"worker/{record.worker}"))
    return next((one for one in workers if one.process.pid == beat.get("pid")), None)


async def ticks_are_whole(cluster: Cluster) -> None:
    """Check that each second has one tick, from the first to the last."""
    count = await accepted(cluster)

    async def delivered() -> bool:
        ((rows,),) = await cluster.rows("SELECT count(*) FROM ticks")
        return int(rows) >= count

    await until(delivered, "all ticks are delivered")
    ids = [id for (id,) in await cluster.rows("SELECT id FROM ticks ORDER BY id")]
    times = [datetime.fromisoformat(id.removeprefix("often:")) for id in ids]
    assert all(after - before == SECOND for before, after in pairwise(times)), ids


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP])
async def test_another_worker_reads_on(ticking: Cluster, end: signal.Signals) -> None:
    with (
        ticking.serving("shop.py"),
        ticking.working("shop.py") as first,
        ticking.working("shop.py") as second,
    ):
        await more_come(ticking, 2)
        worker = await reader(ticking, first, second)
        assert worker is not None
        other = second if worker is first else first
        worker.signal(end)

        async def taken_over() -> bool:
            return await reader(ticking, first, second) is other

        await until(taken_over, "the other one reads")
        await more_come(ticking, 3)
        worker.signal(signal.SIGCONT)
        await more_come(ticking, 3)
        assert await taken_over()
    await ticks_are_whole(ticking)
