"""Results that no destination can take: that event is dead, and the lane goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from busway import App, Event
from busway.sinks import bus, http, jsonl, sqlite
from delivery_node import QUICK, event, running
from http_target import http_target


def circle() -> dict[str, Any]:
    found: dict[str, Any] = {"n": 1}
    found["self"] = found
    return found


def deep() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for _ in range(5000):
        found = {"d": found}
    return found


RUBBISH: dict[str, Callable[[], Any]] = {
    "circle": circle,
    "deep": deep,
    "object": lambda: {"n": object()},
    "surrogate": lambda: {"n": "\ud800"},
    "number": lambda: 5,
}


@pytest.mark.parametrize("kind", RUBBISH)
@pytest.mark.parametrize("sink", ["sqlite", "jsonl", "http", "bus"])
async def test_one_bad_result_is_one_dead_letter(tmp_path: Path, sink: str, kind: str) -> None:
    async with http_target() as target:
        to = {
            "sqlite": sqlite(str(tmp_path / "o.db"), table="t", create=True),
            "jsonl": jsonl(str(tmp_path / "o.jsonl")),
            "http": http(target.url),
            "bus": bus(type="other"),
        }[sink]

        def step(event: Event) -> Any:
            return RUBBISH[kind]() if event.data["n"] == 1 else {"n": event.data["n"]}

        app = App("t")
        app.flow("f", when={"type": ["made"]}, to=to, steps=[step], retry=QUICK)
        async with running(app, tmp_path / "data", partitions=1) as busway:
            await busway.post(*[event(n) for n in range(3)])
            await busway.until("f", delivered=2, dead=1, parked=0, backlog=0)


async def test_a_huge_result_goes_through(tmp_path: Path) -> None:
    app = App("t")
    to = jsonl(str(tmp_path / "o.jsonl"))
    app.flow("f", to=to, steps=[lambda event: ({"x": "y" * 1000} for _ in range(20_000))])
    async with running(app, tmp_path / "data") as busway:
        await busway.post(event(1))
        await busway.until("f", delivered=1)
    assert (tmp_path / "o.jsonl").stat().st_size > 20_000_000
