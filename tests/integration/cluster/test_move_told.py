"""What ``busway move`` tells on the way and afterwards."""

from __future__ import annotations

import asyncio
from pathlib import Path

from command import Ended, busway
from directory import make_directory
from nats_cluster import NatsCluster


async def test_each_step_is_told_to_its_end(tmp_path: Path, engine: str) -> None:
    await make_directory(tmp_path / "data", 200)
    moved = await asyncio.to_thread(busway, "move", "--from", "data", "--to", engine, cwd=tmp_path)
    assert moved.code == 0, moved
    for step in ("events", "records", "check events", "check records"):
        steps = [line.split() for line in moved.err.splitlines() if line.startswith(f"{step}:")]
        ends = [line for line in steps if line[-3] == line[-1]]
        assert (ends, steps[-1]) == ([steps[-1]], ends[-1]), moved.err


async def test_who_gives_another_stream_afterwards_is_refused_and_hears_where_it_is(
    tmp_path: Path, engine: str, nats: NatsCluster
) -> None:
    await make_directory(tmp_path / "data", 10)
    name = engine.rpartition("/")[2]
    place = nats.address(name).partition("?")[0]

    async def moved(stream: str, *more: str) -> Ended:
        there = ("--to", nats.address(stream), "--ledger", engine, *more)
        return await asyncio.to_thread(busway, "move", "--from", "data", *there, cwd=tmp_path)

    assert (await moved(name)).code == 0
    for more in ([], ["--dry-run"]):
        ended = await moved(f"{name}-2", *more)
        assert ended.code == 1, ended
        told = ended.out + ended.err
        assert f"was moved to {place} at" in told
        assert f"by a move that is not in {place}-2; use that one" in told
    again = await moved(name)
    assert again.code == 0, again
    assert f"/{name} already; nothing is left to do" in again.out
