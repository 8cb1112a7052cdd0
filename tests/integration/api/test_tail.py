"""The live tail: events as they come, over a real connection."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import msgspec
import pytest

from api_client import api_of, problem
from busway.app import Node
from busway.engine.registry import open_stores
from busway.flow import App, compile_app
from busway.settings import Settings
from busway.sinks import console
from delivery_node import DEADLINE_S, Running, event, running
from proof import PROOF, TOKEN

ALL = {"from": "beginning", "follow": False}


def app() -> App:
    found = App("shop")
    found.flow("odd", when={"data": {"odd": [True]}}, to=console())
    return found


def numbered(*numbers: int, **more: Any) -> list[dict[str, Any]]:
    return [event(n, data={"odd": n % 2 == 1}, **more) for n in numbers]


class Reader:
    """Reads the messages of one stream."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self._lines = answer.aiter_lines()

    async def message(self) -> dict[str, Any]:
        """Return the next message: its id, its event and its data."""
        found: dict[str, Any] = {}
        async with asyncio.timeout(DEADLINE_S):
            async for line in self._lines:
                name, _, value = line.partition(": ")
                if name in ("id", "event"):
                    found[name] = value
                elif name == "data":
                    found[name] = msgspec.json.decode(value)
                elif not line and "data" in found:
                    return found
                elif not line:
                    found = {}
        return {}

    async def numbers(self, count: int) -> list[int]:
        return [(await self.message())["data"]["event"]["data"]["n"] for _ in range(count)]

    async def ended(self) -> bool:
        return await self.message() == {}


@asynccontextmanager
async def tail(
    node: Running, query: dict[str, Any] | None = None, resume: str | None = None
) -> AsyncIterator[Reader]:
    """Open a tail; it has begun when this returns."""
    headers = {} if resume is None else {"last-event-id": resume}
    async with (
        api_of(node) as api,
        api.stream("GET", "/tail", params=query or {}, headers=headers) as answer,
    ):
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield Reader(answer)


async def test_events_are_shown_as_they_come_with_their_place(tmp_path: Path) -> None:
    async with running(app(), tmp_path / "data", partitions=1) as node:
        await node.post(*numbered(1, 2))
        async with tail(node) as reader:
            await node.post(*numbered(3, 4))
            first = await reader.message()
            assert first["data"]["event"]["id"] == "e3"
            assert (first["data"]["partition"], first["data"]["offset"]) == (0, 2)
            assert first["id"] == "3"
            assert await reader.numbers(1) == [4]
            await node.post(*numbered(5))
            assert await reader.numbers(1) == [5]


async def test_all_partitions_are_shown_from_the_beginning(tmp_path: Path) -> None:
    async with running(app(), tmp_path / "data", partitions=4) as node:
        for n in range(40):
            await node.post(*numbered(n, partitionkey=f"k{n}"))
        async with tail(node, ALL) as reader:
            assert await reader.numbers(40) == list(range(40))
            assert await reader.ended()


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ({"flow": "odd"}, [1, 3]),
        ({"type": "other"}, [4]),
        ({"source": "/test"}, [1, 2, 3, 4]),
        ({"pattern": '{"data": {"n": [{"numeric": [">", 1]}]}}', "flow": "odd"}, [3]),
        ({"limit": 2}, [1, 2]),
    ],
)
async def test_only_what_is_wanted_is_shown(
    tmp_path: Path, query: dict[str, Any], numbers: list[int]
) -> None:
    async with running(app(), tmp_path / "data", partitions=1) as node:
        await node.post(*numbered(1, 2, 3), *numbered(4, type="other"))
        async with tail(node, ALL | query) as reader:
            assert await reader.numbers(len(numbers)) == numbers
            assert await reader.ended()


async def test_it_goes_on_after_the_event_that_was_seen_last(tmp_path: Path) -> None:
    async with running(app(), tmp_path / "data", partitions=3) as node:
        for n in range(30):
            await node.post(*numbered(n, partitionkey=f"k{n}"))
        seen: list[int] = []
        place: str | None = None
        while len(seen) < 30:
            query = {"from": "beginning", "limit": 4, "follow": False}
            async with tail(node, query, place) as reader:
                while message := await reader.message():
                    seen.append(message["data"]["event"]["data"]["n"])
                    place = message["id"]
        assert seen == list(range(30))


async def test_an_event_that_is_written_over_several_lines_stays_one(tmp_path: Path) -> None:
    async with running(app(), tmp_path / "data", partitions=1) as node:
        pretty = msgspec.json.format(msgspec.json.encode(event(1)), indent=2)
        kind = {"content-type": "application/cloudevents+json"}
        async with node.session.post(node.url, data=pretty, headers=kind) as answer:
            assert answer.status == 202
        async with tail(node, ALL) as reader:
            assert (await reader.message())["data"]["event"] == event(1)


async def test_what_is_asked_wrongly_is_told(tmp_path: Path) -> None:
    async with running(app(), tmp_path / "data") as node, api_of(node) as api:
        problem(await api.get("/tail", params={"pattern": "{"}), 400)
        assert "did you mean 'odd'?" in problem(await api.get("/tail?flow=od"), 404)
        assert "2026-03-01T12:00:00Z" in problem(await api.get("/tail?from=yesterday"), 400)
        wrong = {"last-event-id": "1.2.3.4.5"}
        assert "is not a position in this log" in problem(
            await api.get("/tail", headers=wrong), 400
        )


async def test_a_stop_ends_it_at_once(tmp_path: Path) -> None:
    chosen = Settings(data=tmp_path / "data", port=0, drain_s=120.0, api_token=TOKEN)
    stores = await open_stores(chosen)
    node = Node(compile_app(app()), chosen, stores)
    await node.start()
    async with (
        aiohttp.ClientSession(headers=PROOF) as session,
        tail(Running(node, stores, session)) as reader,
    ):
        began = time.monotonic()
        stopping = asyncio.create_task(node.stop())
        assert await reader.ended()
        assert await stopping
    assert time.monotonic() - began < 60, "it waits for no reader"


async def test_a_reader_that_does_not_read_holds_up_nobody(tmp_path: Path) -> None:
    """What it misses is told, and the memory that it costs does not grow."""
    async with running(app(), tmp_path / "data", partitions=1) as node, tail(node) as reader:
        await node.post(*numbered(0))
        assert await reader.numbers(1) == [0]
        large = "x" * 1_000
        for first in range(1, 40_001, 500):
            await node.post(
                *(event(n, data={"odd": False, "l": large}) for n in range(first, first + 500))
            )
        await node.until("odd", filtered=40_001)
        shown, skipped = 1, 0
        while shown + skipped < 40_001:
            message = await reader.message()
            if message.get("event") == "skipped":
                skipped += message["data"]["events"]
            else:
                shown += 1
        assert skipped > 10_000
        await node.post(*numbered(50_000))
        assert await reader.numbers(1) == [50_000]
