"""Replays into a sink that keeps positions: SQLite, through a whole node."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from delivery_node import Running, event, rows, running, until

from busway.control import replay as control
from busway.control.replay import Replay, Request
from busway.control.replay_count import count
from busway.delivery.replay import Selection
from busway.event import Event
from busway.flow import App
from busway.sinks import sqlite

ALL = Selection()


def shop(data: Path) -> App:
    app = App("test")

    @app.flow(when={"type": ["made"]}, to=sqlite(str(data / "out.db"), table="t", create=True))
    def f(given: Event) -> dict[str, Any]:
        return {"n": given.data["n"]}

    return app


async def finished(node: Running, begun: Replay) -> Replay:
    """Wait until a replay is done."""
    seen: list[Replay] = []

    async def over() -> bool:
        seen[:] = [await control.replay(node.node.control, begun.id)]
        return seen[0].state == "done"

    await until(over, f"replay {begun.id}, {seen}")
    return seen[0]


async def test_what_has_landed_is_skipped(tmp_path: Path) -> None:
    async with running(shop(tmp_path), tmp_path / "data") as node:
        await node.post(*(event(number) for number in range(100)))
        await node.until("f", delivered=100)
        request = Request(flow="f")
        counted = await count(node.node.control, request)
        assert (counted.total, counted.selected, counted.landed, counted.going) == (100, 100, 100, 0)
        done = await finished(node, await control.begin(node.node.control, request, "me"))
        assert (done.total, done.done, done.skipped, done.delivered) == (100, 100, 100, 0)
        assert len(rows(tmp_path / "out.db", "SELECT n FROM t")) == 100
