"""A full log, retention, repeated requests and stopping: nothing acknowledged is lost."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import aiohttp

from api_client import api_of
from busway import App
from busway.sinks import http, jsonl
from command import busway, get
from command import running as served
from delivery_node import event, running, until
from http_target import http_target

FLOWS = """
import os
from busway import App
from busway.sinks import jsonl

app = App("stop")
app.flow("f", to=jsonl(os.environ["OUT"]), steps=[lambda event: {"id": event.id}])
"""


async def test_a_full_log_refuses_and_takes_again_when_there_is_room(tmp_path: Path) -> None:
    async with http_target() as target:
        app = App("t")
        app.flow("f", to=http(target.url))
        limits: dict[str, Any] = {
            "max_log_bytes": 2_000_000,
            "retention_bytes": 500_000,
            "partitions": 1,
        }
        async with running(app, tmp_path, **limits) as busway:
            await target.stop()
            sent = 0
            while True:
                big = [event(n, data={"x": "x" * 2000}) for n in range(sent, sent + 50)]
                status, answer = await busway.send(*big)
                if status != 202:
                    break
                sent += 50
            assert status == 507, answer
            assert 200 < sent < 2000
            assert (await busway.status("f")).accepted == sent
            await target.start()
            await busway.until("f", delivered=sent, backlog=0)

            async def taken_again() -> bool:
                return (await busway.send(*big))[0] == 202

            await until(taken_again, "room after retention")
            await busway.until("f", delivered=sent + 50, backlog=0)
        assert len({call.key for call in target.taken}) == sent + 50


async def test_retention_keeps_what_a_lane_has_not_read(tmp_path: Path) -> None:
    async with http_target() as target:
        app = App("t")
        app.flow("slow", to=http(target.url))
        app.flow("quick", to=jsonl(str(tmp_path / "out.jsonl")))
        given: dict[str, Any] = {"retention_age_s": 0.0, "retention_bytes": 1, "partitions": 1}
        async with running(app, tmp_path / "data", **given) as busway:
            await busway.post(*[event(n) for n in range(50)])
            await busway.until("slow", delivered=50)
            await target.stop()
            for first in range(50, 150, 10):
                await busway.post(*[event(n) for n in range(first, first + 10)])
            await busway.until("quick", delivered=150)
            log = busway.stores.log

            async def trimmed() -> bool:
                return (await log.bounds(0))[0] == 50

            await until(trimmed, "all that is read being trimmed")
            trimmed_at = time.monotonic()
            await until(lambda: time.monotonic() > trimmed_at + 1.5, "another upkeep")
            assert await log.bounds(0) == (50, 150), "what slow has not read is there"
            await target.start()
            await busway.until("slow", delivered=150, backlog=0)
        assert len({call.key for call in target.taken}) == 150


async def test_a_repeated_request_is_a_duplicate_across_a_restart(tmp_path: Path) -> None:
    app = App("t")
    app.flow("f", to=jsonl(str(tmp_path / "out.jsonl")))
    events = [event(n) for n in range(1000)]
    async with running(app, tmp_path / "data") as busway:
        assert await busway.send(*events) == (202, {"accepted": 1000, "duplicates": 0})
        assert await busway.send(*events) == (202, {"accepted": 0, "duplicates": 1000})
    async with running(app, tmp_path / "data") as busway:
        mixed = [*events[500:], event(5000), event(5000)]
        assert await busway.send(*mixed) == (202, {"accepted": 1, "duplicates": 501})
        await busway.until("f", delivered=1001)
    lines = (tmp_path / "out.jsonl").read_bytes().splitlines()
    assert len(lines) == len(set(lines)) == 1001


async def test_many_at_once_with_the_same_ids_are_stored_once(tmp_path: Path) -> None:
    app = App("t")
    app.flow("f", to=jsonl(str(tmp_path / "out.jsonl")))
    async with running(app, tmp_path / "data") as busway:
        same = [busway.send(*[event(n) for n in range(50)]) for _ in range(40)]
        answers = [answer for _, answer in await asyncio.gather(*same)]
        assert sum(answer["accepted"] for answer in answers) == 50
        assert sum(answer["duplicates"] for answer in answers) == 39 * 50
        assert (await busway.until("f", delivered=50)).accepted == 50


async def test_the_check_finds_nothing_in_a_busy_server(tmp_path: Path) -> None:
    app = App("t")
    app.flow("f", to=jsonl(str(tmp_path / "out.jsonl")), steps=[lambda event: 1 // event.data["n"]])
    app.flow("g", to=jsonl(str(tmp_path / "out2.jsonl")))
    async with running(app, tmp_path / "data") as busway:

        async def load() -> None:
            for n in range(200):
                await busway.post(event(n), event(n + 1000))

        task = asyncio.create_task(load())
        async with api_of(busway) as api:
            while not task.done():
                assert (await api.get("/check")).json() == {"ok": True, "faults": []}
        await task


async def test_sigterm_under_load_ends_in_good_order_and_keeps_its_promises(tmp_path: Path) -> None:
    (tmp_path / "flows.py").write_text(FLOWS)
    out = tmp_path / "out.jsonl"
    acknowledged: set[str] = set()
    stopping = False

    async def client(name: int, session: aiohttp.ClientSession, url: str) -> None:
        number = 0
        while True:
            number += 1
            body = event(0) | {"id": f"{name}-{number}"}
            headers = {"Content-Type": "application/cloudevents+json"}
            try:
                async with session.post(f"{url}/events", json=body, headers=headers) as answer:
                    if answer.status == 202:
                        acknowledged.add(str(body["id"]))
                    else:
                        assert stopping, answer.status
                        return
            except aiohttp.ClientError:
                assert stopping
                return

    with served("flows.py", cwd=tmp_path, OUT=str(out)) as server:
        async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
            for name in range(8):
                group.create_task(client(name, session, server.url))
            await until(lambda: len(acknowledged) > 300)
            stopping = True
            assert await asyncio.to_thread(server.stop) == 0, server.log
    assert busway("check", cwd=tmp_path).code == 0
    with served("flows.py", cwd=tmp_path, OUT=str(out)) as server:
        await until(lambda: backlog(server.url) == 0)
    lines = out.read_text().split()
    assert len(lines) == len(set(lines))
    assert {f'{{"id":"{one}"}}' for one in acknowledged} <= set(lines)


def backlog(url: str) -> int:
    (flow,) = get(f"{url}/api/v1/flows").json()["items"]
    return int(flow["backlog"])
