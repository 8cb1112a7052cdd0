"""Request sources of a whole Busway: landed, counted, refused, paused, reloaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from busway import App
from busway.control.source.operation import pause_source, resume_source
from busway.control.source.status import SourceStatus, source_statuses
from busway.flow import compile_app
from busway.sinks import jsonl
from busway.sources import from_header, webhook
from delivery_node import Running, running, until

JSON = {"Content-Type": "application/json"}


def shop(folder: Path, *, events: bool = True) -> App:
    app = App("shop", events=events)
    app.source(webhook("orders", type="order.created", id="$.order_id"))
    app.flow("orders", when={"type": ["order.created"]}, to=jsonl(str(folder / "orders.jsonl")))
    return app


async def post(node: Running, path: str, body: bytes, **headers: str) -> tuple[int, Any, Any]:
    address = f"http://127.0.0.1:{node.node.port}{path}"
    async with node.session.post(address, data=body, headers=JSON | headers) as answer:
        return answer.status, json.loads(await answer.read()), answer.headers


async def status(node: Running, name: str) -> SourceStatus:
    control = node.node.control
    found = await source_statuses(control.ledger, control.clock.now())
    return next(one for one in found if one.name == name)


async def test_an_order_lands_and_is_counted(tmp_path: Path) -> None:
    async with running(shop(tmp_path), tmp_path / "data") as node:
        for _ in range(2):
            code, _, _ = await post(node, "/in/orders", b'{"order_id": 7, "total": 12.5}')
            assert code == 202
        await node.until("orders", delivered=1)

        async def counted() -> bool:
            found = await status(node, "orders")
            return (found.accepted, found.duplicates) == (1, 1) and found.received_at is not None

        await until(counted)
    (line,) = (tmp_path / "orders.jsonl").read_text().splitlines()
    assert json.loads(line)["data"]["total"] == 12.5


async def test_refusals_are_counted_by_source_and_reason(tmp_path: Path) -> None:
    async with running(shop(tmp_path), tmp_path / "data") as node:
        assert (await post(node, "/in/orders", b"{}"))[0] == 400
        assert (await post(node, "/in/orders", b"{"))[0] == 400
        assert (await post(node, "/events", b"{}"))[0] == 400
        assert (await post(node, "/in/nope", b"{}"))[0] == 404

        async def counted() -> bool:
            refused = [(await status(node, name)).refused for name in ("orders", "events")]
            return refused == [{"missing-value": 1, "invalid-events": 1}, {"invalid-events": 1}]

        await until(counted)
        last = (await status(node, "orders")).last_refusal
        assert last is not None
        assert (last.code, "JSON" in last.text) == ("invalid-events", True)
        metrics = node.node.metrics().decode()
    for sample in (
        'busway_source_refused_total{reason="missing-value",source="orders"} 1.0',
        'busway_source_refused_total{reason="unknown-source",source=""} 1.0',
    ):
        assert sample in metrics


async def test_counts_survive_a_restart(tmp_path: Path) -> None:
    for total in (1, 2):
        async with running(shop(tmp_path), tmp_path / "data") as node:
            await post(node, "/in/orders", b'{"order_id": %d}' % total)
            await post(node, "/in/orders", b"{}")
    async with running(shop(tmp_path), tmp_path / "data") as node:
        found = await status(node, "orders")
        assert (found.accepted, found.refused) == (2, {"missing-value": 2})


@pytest.mark.parametrize("name", ["orders", "events"])
async def test_a_paused_source_answers_503_until_it_is_resumed(tmp_path: Path, name: str) -> None:
    path = "/events" if name == "events" else f"/in/{name}"
    event = b'{"specversion":"1.0","id":"1","source":"/s","type":"t"}'
    body = event if name == "events" else b'{"order_id": 1}'
    async with running(shop(tmp_path), tmp_path / "data") as node:
        control = node.node.control
        await pause_source(control, name, "ann", "secret migration")
        seen: list[Any] = []

        async def answers(code: int) -> bool:
            seen[:] = await post(node, path, body)
            return bool(seen[0] == code)

        await until(lambda: answers(503))
        assert seen[1]["type"] == "urn:busway:problem:source-paused"
        assert f"the source {name!r} is paused" in seen[1]["detail"]
        assert "secret" not in str(seen[1])
        assert int(seen[2]["Retry-After"]) > 0
        await resume_source(control, name, "ann")
        await until(lambda: answers(202))
        await until(lambda: _refused(node, name))


async def _refused(node: Running, name: str) -> bool:
    return (await status(node, name)).refused.get("source-paused", 0) > 0


async def test_a_pause_holds_from_the_start(tmp_path: Path) -> None:
    async with running(shop(tmp_path), tmp_path / "data") as node:
        await pause_source(node.node.control, "orders", "ann")
    async with running(shop(tmp_path), tmp_path / "data") as node:
        assert (await post(node, "/in/orders", b'{"order_id": 1}'))[0] == 503


async def test_events_are_switched_off_by_the_app(tmp_path: Path) -> None:
    async with running(shop(tmp_path, events=False), tmp_path / "data") as node:
        code, answer, _ = await post(node, "/events", b"{}")
        assert (code, answer["type"]) == (404, "urn:busway:problem:events-off")
        assert (await post(node, "/in/orders", b'{"order_id": 1}'))[0] == 202


async def test_a_reload_changes_the_sources(tmp_path: Path) -> None:
    app = shop(tmp_path)
    async with running(app, tmp_path / "data") as node:
        app.source(webhook("github", type=from_header("X-GitHub-Event")))
        assert (await post(node, "/in/github", b"{}"))[0] == 404
        await node.node.change_program(compile_app(app))
        code, _, _ = await post(node, "/in/github", b"{}", **{"X-GitHub-Event": "push"})
        assert code == 202
        assert (await status(node, "github")).address == "/in/github"


async def test_a_key_is_asked_for_where_the_intake_asks_for_one(tmp_path: Path) -> None:
    async with running(shop(tmp_path), tmp_path / "data", intake_keys="required") as node:
        code, answer, _ = await post(node, "/in/orders", b'{"order_id": 1}')
        assert (code, answer["type"]) == (401, "urn:busway:problem:unauthorized")
