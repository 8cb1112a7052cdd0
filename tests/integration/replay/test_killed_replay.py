"""A process is killed in the middle of replays into PostgreSQL: each still lands exactly once."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from command import busway, running, until
from postgres_server import PostgresServer, postgres_server

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


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_server() as found:
        yield found


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
    return sum(landed(server).values()) > before + 500


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
                asked = ["late", "--rate", "1500/s", *(["--force"] if kill else [])]
                ended = busway("replay", "start", *asked, "--json", cwd=tmp_path)
                ids.append(ended.json()["id"])
            until(partial(more_landed, server, sum(landed(server).values())), "some land")
            assert replay(tmp_path, ids[-1])["state"] == "running"
            node.process.send_signal(signal.SIGKILL)
            node.process.wait()
    with running("shop.py", cwd=tmp_path):
        for id in ids:
            until(partial(is_done, tmp_path, id), "the replay ends")
        assert landed(server) == dict.fromkeys(range(EVENTS), 2)
        for id in ids:
            found = replay(tmp_path, id)
            assert found["done"] == found["total"] == EVENTS
            assert found["delivered"] == EVENTS
        assert busway("check", cwd=tmp_path).code == 0
