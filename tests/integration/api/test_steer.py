"""Steering over the API: what is asked is kept, shown, and not overwritten unseen."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from api_client import api_of, problem
from busway import App, Window
from busway.sinks import http, jsonl
from delivery_node import Running, event, running

URL = "http://127.0.0.1:9/crm"
NAME = f"http {URL}"
FAR = (datetime.now(UTC) + timedelta(days=3)).strftime("%a").upper()
WEEKLY = Window(f"0 2 * * {FAR}", "2h", "Europe/Berlin", "backup")
"""It is not open while the tests run, whatever day it is."""


def app(folder: Path) -> App:
    found = App("shop")
    when = {"source": ["/test"]}
    found.flow("orders", when=when, to=jsonl(str(folder / "orders.jsonl")), windows=[WEEKLY])
    found.flow("to_crm", when=when, to=http(URL))
    return found


def ok(answer: httpx.Response, status: int = 200) -> Any:
    assert answer.status_code == status, answer.text
    return answer.json()


async def posted(node: Running, api: httpx.AsyncClient, count: int) -> dict[str, Any]:
    await node.post(*(event(number) for number in range(count)))
    return dict(ok(await api.get("/flows/orders"))["status"])


async def test_a_flow_is_paused_and_resumed(tmp_path: Path) -> None:
    async with running(app(tmp_path), tmp_path / "data") as node, api_of(node) as api:
        body, ann = {"for": "2h", "reason": "a move"}, {"busway-actor": "ann@ops"}
        told = ok(await api.post("/flows/orders/pause", json=body, headers=ann))
        end = datetime.fromisoformat(told["state"]["until"])
        assert timedelta(hours=1, minutes=59) < end - datetime.now(UTC) <= timedelta(hours=2)
        assert told["controls"]["pause"]["actor"] == "api-token (ann@ops)"
        status = await posted(node, api, 5)
        assert (status["state"], status["backlog"]) == ("paused", 5)
        assert status["state_reason"].startswith("paused by api-token (ann@ops) since ")
        (listed,) = [one for one in ok(await api.get("/flows"))["items"] if one["name"] == "orders"]
        assert listed["until"] == told["state"]["until"]
        told = ok(await api.post("/flows/orders/resume", json={}))
        assert told["state"] == {"state": "running", "reason": "", "until": None}
        assert told["controls"]["pause"] is None
        await node.until("orders", delivered=5)
        trail = ok(await api.get("/audit", params={"target": "flow/orders"}))["items"]
        names = ("actor", "remark", "action", "reason")
        assert [tuple(one[name] for name in names) for one in trail] == [
            ("api-token", "", "resume", ""),
            ("api-token", "ann@ops", "pause", "a move"),
        ]
        assert trail[1]["after"]["pause"]["reason"] == "a move"
        assert trail[0]["before"] == trail[1]["after"]


async def test_a_destination_is_steered_by_its_name_or_a_flow_of_it(tmp_path: Path) -> None:
    async with running(app(tmp_path), tmp_path / "data") as node, api_of(node) as api:
        for name in (NAME, "to_crm"):
            told = ok(await api.post("/destinations/pause", params={"name": name}, json={}))
            assert (told["controls"]["kind"], told["controls"]["name"]) == ("destination", NAME)
            assert told["state"]["reason"].startswith("destination paused by api")
        listed = {one["name"]: one for one in ok(await api.get("/destinations"))["items"]}
        assert listed[NAME]["state"] == "paused"
        assert ok(await api.get("/flows/to_crm"))["status"]["state"] == "paused"
        assert ok(await api.get("/flows/orders"))["status"]["state"] == "running"
        params = {"name": NAME.upper()}
        wrong = await api.post("/destinations/pause", params=params, json={})
        assert "there is no destination" in problem(wrong, 404)


async def test_a_change_with_if_match_is_of_what_was_seen(tmp_path: Path) -> None:
    async with running(app(tmp_path), tmp_path / "data") as node, api_of(node) as api:
        empty = await api.get("/flows/orders/controls")
        seen = {"if-match": empty.headers["etag"]}
        ok(await api.put("/flows/orders/throttle", json={"rate": "300/m"}, headers=seen))
        stale = await api.post("/flows/orders/pause", json={}, headers=seen)
        assert "changed since you read it" in problem(stale, 412)
        now = await api.get("/flows/orders/controls")
        assert now.json()["throttle"]["rate"] == "5/s"
        seen = {"if-match": now.headers["etag"]}
        ok(await api.put("/flows/orders/throttle", json={"concurrency": 4}, headers=seen))
        both = ok(await api.get("/flows/orders/controls"))["throttle"]
        assert (both["rate"], both["concurrency"]) == ("5/s", "4")
        told = ok(await api.delete("/flows/orders/throttle", params={"reason": "done"}))
        assert told["controls"]["throttle"] is None


async def test_windows_are_added_listed_skipped_and_removed(tmp_path: Path) -> None:
    async with running(app(tmp_path), tmp_path / "data") as node, api_of(node) as api:
        body = {"cron": "0 0 1 * *", "for": "31d", "tz": "Asia/Tokyo", "reason": "for ever"}
        wrong = await api.post("/flows/orders/windows", json=body | {"tz": "Mars/Base"})
        assert "unknown time zone" in problem(wrong, 400)
        wrong = await api.post("/flows/orders/windows", json=body | {"cron": "* * * * *"})
        assert "never closes" in problem(wrong, 400)
        now = datetime.now(UTC)
        body = {"cron": f"0 {now.hour} * * *", "for": "23h30m", "reason": "today"}
        told = ok(await api.post("/flows/orders/windows", json=body), 201)
        (added,) = told["controls"]["windows"]
        assert told["state"]["state"] == "window"
        assert told["state"]["reason"].endswith("for 23h30m (UTC): today")
        assert (await posted(node, api, 3))["state"] == "window"
        declared, listed = ok(await api.get("/flows/orders/windows"))["items"]
        assert (declared["declared"], declared["cron"]) == (True, WEEKLY.cron)
        assert (listed["id"], listed["declared"]) == (added["id"], False)
        assert listed["open_until"] == told["state"]["until"]
        assert "no added window" in problem(
            await api.delete(f"/flows/orders/windows/{declared['id']}"), 404
        )
        told = ok(await api.post("/flows/orders/windows/skip", json={}))
        assert told["state"]["state"] == "running"
        await node.until("orders", delivered=3)
        told = ok(await api.delete(f"/flows/orders/windows/{added['id']}"))
        assert told["controls"]["windows"] == []
        again = await api.post("/flows/orders/windows/skip", json={})
        assert "in no window now" in problem(again, 409)


async def test_a_drain_is_asked_and_becomes_a_pause(tmp_path: Path) -> None:
    async with running(app(tmp_path), tmp_path / "data") as node, api_of(node) as api:
        await posted(node, api, 20)
        told = ok(await api.post("/flows/orders/drain", json={"reason": "a move"}))
        assert told["state"]["state"] in ("draining", "paused")
        status = await node.until("orders", state="paused", delivered=20)
        assert status.state_reason.endswith("drained: a move")
        told = ok(await api.post("/destinations/drain?name=to_crm", json={}))
        assert told["state"]["state"] in ("draining", "down")


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("/flows/order/pause", {}, "did you mean 'orders'?"),
        ("/flows/orders/pause", {"for": "2h", "until": "2030-01-01T00:00:00Z"}, "not both"),
        ("/flows/orders/pause", {"for": "soon"}, "invalid duration"),
        ("/flows/orders/pause", {"for": "0s"}, "more than 0s"),
        ("/flows/orders/pause", {"until": "2020-01-01T00:00:00Z"}, "has passed"),
        ("/flows/orders/pause", {"until": "2030-01-01T00:00:00"}, "timezone"),
        ("/flows/orders/pause", {"untli": 1}, "untli"),
    ],
)
async def test_a_mistake_is_told(
    tmp_path: Path, path: str, body: dict[str, Any], says: str
) -> None:
    async with running(app(tmp_path), tmp_path / "data") as node, api_of(node) as api:
        assert says in problem(await api.post(path, json=body), 404 if "order/" in path else 400)
        for throttle in ({}, {"rate": "fast"}, {"concurrency": 0}):
            problem(await api.put("/flows/orders/throttle", json=throttle), 400)
