"""A process is killed in the middle of replays into PostgreSQL: each still lands exactly once."""

from __future__ import annotations

import asyncio
import signal
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from command import Server, busway, get, running, select, until
from postgres_server import PostgresServer

EVENTS = 12_000
EARLY = """
from busway import App
from busway.sinks import jsonl
app = App("shop")
app.flow("early", when={"type": ["order.created"]}, to=jsonl("early.jsonl"))
"""
LATE = """
from busway.sinks import postgres
@app.flow(when={"type": ["order.created"]}, to=postgres(%r, table="t", create=True))
def late(event):
    return {"n": event.data["n"]}
"""

POISON = """
import os
from busway import Backoff
from busway.sinks import sqlite
to = sqlite("late.db", table="t", create=True)
@app.flow(when={"type": ["order.created"]}, to=to, retry=Backoff(attempts=1))
def late(event):
    if event.data["n"] == 70:
        os._exit(9)
    return {"n": event.data["n"]}
"""


def landed(server: PostgresServer) -> dict[int, int]:
    """Return how many times each event is in the table."""

    async def asked() -> dict[int, int]:
        connection = await asyncpg.connect(server.dsn)
        try:
            rows = await connection.fetch("SELECT n, count(*) AS times FROM t GROUP BY n")
        except asyncpg.UndefinedTableError:
            rows = []
        finally:
            await connection.close()
        return {row["n"]: row["times"] for row in rows}

    return asyncio.run(asked())


def replay(folder: Path, id: str) -> dict[str, Any]:
    found: dict[str, Any] = busway("replay", "show", id, "--json", cwd=folder).json()
    return found


def more_landed(server: PostgresServer, before: int) -> bool:
    return sum(landed(server).values()) > before + 200


def is_done(folder: Path, id: str) -> bool:
    return bool(replay(folder, id)["state"] == "done")


@pytest.mark.slow
def test_it_is_killed_again_and_again(server: PostgresServer, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(EARLY)
    with running("shop.py", cwd=tmp_path) as node:
        for first in range(0, EVENTS, 500):
            numbers = range(first, first + 500)
            answer = node.post(*({"id": f"o{n}", "data": {"n": n}} for n in numbers))
            assert answer.status_code == 202
    (tmp_path / "shop.py").write_text(EARLY + LATE % server.dsn)
    ids = []
    for kill in range(4):
        with running("shop.py", cwd=tmp_path) as node:
            if kill in (0, 2):
                asked = ["late", "--rate", "1000/s", *(["--force"] if kill else [])]
                ended = busway("replay", "start", *asked, "--json", cwd=tmp_path)
                ids.append(ended.json()["id"])
            until(partial(more_landed, server, sum(landed(server).values())), "some land")
            node.process.send_signal(signal.SIGKILL)
            node.process.wait()
            assert sum(landed(server).values()) < EVENTS * len(ids), "it had ended by itself"
    with running("shop.py", cwd=tmp_path):
        for id in ids:
            until(partial(is_done, tmp_path, id), "the replay ends")
        assert landed(server) == dict.fromkeys(range(EVENTS), 2)
        for id in ids:
            found = replay(tmp_path, id)
            assert found["done"] == found["total"] == EVENTS
            assert found["delivered"] == EVENTS
        assert busway("check", cwd=tmp_path).code == 0


@pytest.mark.slow
def test_an_event_that_ends_the_process_does_not_do_so_for_ever(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(EARLY)
    with running("shop.py", cwd=tmp_path) as node:
        node.post(*({"id": f"o{n}", "data": {"n": n}} for n in range(100)))
    (tmp_path / "shop.py").write_text(EARLY + POISON)
    ended = 0
    begun = ""
    while not begun or replay(tmp_path, begun)["state"] != "done":
        assert ended < 6, replay(tmp_path, begun)
        with running("shop.py", cwd=tmp_path) as node:
            if not begun:
                begun = busway("replay", "start", "late", "--json", cwd=tmp_path).json()["id"]
            until(partial(over, node, begun), "it ends, or the replay does")
            ended += node.process.poll() is not None
    found = replay(tmp_path, begun)
    assert (found["done"], found["dead"], found["parked"]) == (100, 1, 0)
    numbers = [n for (n,) in select(tmp_path / "late.db", "SELECT n FROM t ORDER BY n")]
    assert numbers == [n for n in range(100) if n != 70]
    assert busway("check", cwd=tmp_path).code == 0
    assert ended


def over(node: Server, id: str) -> bool:
    if node.process.poll() is not None:
        return True
    try:
        answer = get(f"{node.url}/api/v1/replays/{id}")
    except httpx.TransportError:
        return False
    return bool(answer.json()["state"] == "done")
