"""From a bug to the last row: dead letters over real HTTP, into PostgreSQL and a real server."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from busway import App, Event
from busway.control.job import job as job_of
from busway.engine.registry import open_stores
from busway.settings import Settings
from busway.sinks import http, postgres
from delivery_node import QUICK, Running, event, running, until
from http_target import HttpTarget, http_target
from postgres_server import PostgresServer

COUNT = 300
BAD = range(0, COUNT, 5)
MEND = """
def patch(event):
    if event.data["n"] == 0:
        raise ValueError("by hand")
    if event.data["n"] == 5:
        return None
    return event.data | {"total": 1}
"""


class Api:
    """The API of a node, as a client uses it."""

    def __init__(self, node: Running) -> None:
        self.session = node.session
        self.url = node.url.removesuffix("/events") + "/api/v1"

    async def get(self, path: str, **params: Any) -> Any:
        async with self.session.get(self.url + path, params=params) as answer:
            found = await answer.json()
            assert answer.status == 200, found
            return found

    async def all(self, path: str, **params: Any) -> list[Any]:
        items: list[Any] = []
        while True:
            page = await self.get(path, **params)
            items += page["items"]
            if page["next"] is None:
                return items
            params["cursor"] = page["next"]

    async def post(self, path: str, **body: Any) -> Any:
        headers = {"Busway-Actor": "ann@ops"}
        async with self.session.post(self.url + path, json=body, headers=headers) as answer:
            found = await answer.json()
            assert answer.status == 200, found
            return found

    async def job(self, id: str) -> Any:
        return await self.get(f"/jobs/{id}")

    async def begun(self, id: str, least: int) -> None:
        """Return once a job has done at least so many."""

        async def far_enough() -> bool:
            return bool((await self.job(id))["done"] >= least)

        await until(far_enough, "some went")

    async def ended(self, id: str) -> Any:
        async def over() -> bool:
            return bool((await self.job(id))["state"] != "running")

        await until(over, "the job ends")
        return await self.job(id)


def orders(number: int) -> dict[str, Any]:
    total = {} if number in BAD else {"total": number}
    return event(number, key=f"k{number % 7}", data=total)


def pay(event: Event) -> dict[str, Any]:
    return {"id": event.data["n"], "total": event.data["total"]}


async def test_a_bug_is_grouped_patched_and_its_events_land_once(
    server: PostgresServer, tmp_path: Path
) -> None:
    db = await asyncpg.connect(server.dsn)
    await db.execute("CREATE TABLE orders (id bigint, total bigint)")
    app = App("shop")
    app.flow("orders", to=postgres(server.dsn, "orders"), steps=[pay], retry=QUICK)
    async with running(app, tmp_path / "data") as node:
        api = Api(node)
        await node.post(*map(orders, range(COUNT)))
        await node.until("orders", delivered=COUNT - len(BAD), dead=len(BAD), parked=0)
        (group,) = (await api.get("/dead/groups"))["items"]
        assert group["cause"] == "KeyError in test_dead_letters.py:pay: total"
        assert group["count"] == len(BAD)
        selection = {"fingerprint": group["fingerprint"]}
        await preview_shows_all(api, selection)
        taken = await api.post("/dead/redrive", selection=selection, patch=MEND, rate=None)
        job = await api.ended(taken["job"]["id"])
        assert (job["state"], job["total"], job["done"]) == ("done", len(BAD), len(BAD) - 1)
        assert job["progress"]["failures"][0]["error"] == "ValueError: by hand (line 4)"
        await node.until("orders", delivered=COUNT - 2, dead=2, parked=0)
        await edited_and_redriven_singly(api)
        await node.until("orders", delivered=COUNT, dead=0, parked=0)
        await trail_says_who(api)
    rows = Counter(row["id"] for row in await db.fetch("SELECT id FROM orders"))
    assert rows == Counter(range(COUNT))
    await db.close()


async def preview_shows_all(api: Api, selection: dict[str, Any]) -> None:
    found: list[Any] = []
    cursor = None
    while True:
        body = {"selection": selection, "patch": MEND, "limit": 25, "cursor": cursor}
        page = await api.post("/dead/preview", **body)
        found += page["items"]
        cursor = page["next"]
        if cursor is None:
            break
    assert len({one["place"] for one in found}) == len(found) == len(BAD)
    effects = Counter(one["effect"] for one in found)
    assert effects == {"changed": len(BAD) - 2, "unchanged": 1, "failed": 1}
    assert '+    "total": 1' in next(one["diff"] for one in found if one["effect"] == "changed")
    assert await api.all("/dead", where="data.total") == []


async def edited_and_redriven_singly(api: Api) -> None:
    """Two are left: 0, for which the patch failed, and 5, which it left as it was."""
    for number in (0, 5):
        (letter,) = await api.all("/dead", where=f"data.n={number}", limit=7)
        url = f"{api.url}/dead/{letter['place']}"
        async with api.session.get(url) as answer:
            tag, whole = answer.headers["etag"], await answer.json()
        failures = whole["failures"]
        assert [one["attempt"] for one in failures][:3] == [1, 2, 3]
        assert all(one["version"] and "pay" in one["traceback"] for one in failures)
        mended = whole["event"] | {"data": {"n": number, "total": 9}}
        headers = {"If-Match": tag, "Busway-Actor": "bob@ops"}
        async with api.session.put(f"{url}/event", json=mended, headers=headers) as answer:
            assert answer.status == 200
            assert (await answer.json())["event"]["data"] == {"n": number, "total": 9}
        async with api.session.put(f"{url}/event", json=mended, headers=headers) as answer:
            assert answer.status == 412
        async with api.session.put(f"{url}/event", json=mended | {"id": "z"}) as answer:
            assert answer.status == 400
            assert "id must stay" in (await answer.json())["detail"]
        taken = await api.post("/dead/redrive", places=[letter["place"]], reason="by hand")
        assert (taken["done"], taken["job"]) == (1, None)


async def trail_says_who(api: Api) -> None:
    edits = await api.all("/audit", action="dead edit", limit=20)
    assert len(edits) == len(BAD) - 2 + 2
    assert {(one["actor"], one["remark"]) for one in edits} == {
        ("api-token", "ann@ops"),
        ("api-token", "bob@ops"),
    }
    assert all("total" not in one["before"]["data"] for one in edits)
    assert Counter(one["after"]["data"]["total"] for one in edits) == {1: len(BAD) - 2, 9: 2}
    redrives = await api.all("/audit", action="dead redrive", target="dead/orders")
    places = [place for one in redrives for place in one["before"]["places"]]
    assert len(set(places)) == len(BAD)
    assert len(places) == len(BAD) + 1, "one was given again as it was, and once more edited"
    (begun,) = await api.all("/audit", action="redrive begin")
    assert (begun["actor"], begun["remark"]) == ("api-token", "ann@ops")
    assert begun["after"]["patch"] == MEND


@pytest.fixture
def broken() -> dict[str, bool]:
    """Hold whether the step of :func:`shipping` fails."""
    return {"now": True}


def shipping(target: HttpTarget, broken: dict[str, bool]) -> App:
    def ship(event: Event) -> dict[str, Any]:
        if broken["now"]:
            raise RuntimeError(f"no way to ship {event.id}")
        return {"n": event.data["n"]}

    app = App("shop")
    app.flow("ship", to=http(target.url), steps=[ship], retry=QUICK)
    return app


def shipped(target: HttpTarget) -> list[int]:
    return sorted(json.loads(call.body)["n"] for call in target.taken)


async def test_a_redrive_is_stopped_and_goes_on_where_it_was(
    tmp_path: Path, broken: dict[str, bool]
) -> None:
    async with http_target() as target, running(shipping(target, broken), tmp_path / "d") as node:
        api = Api(node)
        await node.post(*(event(n) for n in range(60)))
        await node.until("ship", dead=60, parked=0)
        broken["now"] = False
        taken = await api.post("/dead/redrive", selection={"flow": "ship"}, rate="20/s")
        id = taken["job"]["id"]
        await api.begun(id, 10)
        stopped = await api.post(f"/jobs/{id}/stop")
        done = stopped["done"]
        assert stopped["state"] == "stopped"
        assert 10 <= done < 60
        await node.until("ship", delivered=done, dead=60 - done, parked=0)
        assert len(shipped(target)) == done
        assert (await api.job(id))["done"] == done
        await api.post(f"/jobs/{id}/resume")
        job = await api.ended(id)
        assert (job["state"], job["done"], job["total"]) == ("done", 60, 60)
        await node.until("ship", delivered=60, dead=0, parked=0)
        assert shipped(target) == list(range(60))
        actions = [one["action"] for one in await api.all("/audit", target=f"job/{id}")]
        assert actions == ["redrive resume", "redrive stop", "redrive begin"]


async def test_a_redrive_survives_a_restart_in_the_middle_of_it(
    tmp_path: Path, broken: dict[str, bool]
) -> None:
    async with http_target() as target:
        app = shipping(target, broken)
        async with running(app, tmp_path / "d") as node:
            api = Api(node)
            await node.post(*(event(n) for n in range(70)))
            await node.until("ship", dead=70, parked=0)
            broken["now"] = False
            selection = {"error": "RuntimeError"}
            taken = await api.post("/dead/redrive", selection=selection, rate="80/m burst 40")
            id = taken["job"]["id"]
            await api.begun(id, 1)
        assert await left(tmp_path / "d", id) == ("running", 40), "its burst, and then it waits"
        async with running(app, tmp_path / "d") as node:
            api = Api(node)
            job = await api.ended(id)
            assert (job["state"], job["done"]) == ("done", 70)
            await node.until("ship", delivered=70, dead=0, parked=0)
        assert shipped(target) == list(range(70))


async def left(data: Path, id: str) -> tuple[str, int]:
    """Return the state of a job in a directory that nobody has open, and how many it has done."""
    stores = await open_stores(Settings(data=data))
    try:
        found = await job_of(stores.ledger, id)
    finally:
        await stores.close()
    return found.state, found.done


async def test_what_dies_again_is_left_for_the_next_one(
    tmp_path: Path, broken: dict[str, bool]
) -> None:
    async with http_target() as target, running(shipping(target, broken), tmp_path / "d") as node:
        api = Api(node)
        await node.post(*(event(n) for n in range(40)))
        await node.until("ship", dead=40, parked=0)
        taken = await api.post("/dead/redrive", selection={}, rate="200/s")
        job = await api.ended(taken["job"]["id"])
        assert (job["state"], job["done"]) == ("done", 40)
        await node.until("ship", dead=40, parked=0)
        letters = await api.all("/dead", limit=9)
        assert len(letters) == 40
        detail = await api.get(f"/dead/{letters[0]['place']}")
        assert [one["attempt"] for one in detail["failures"]] == [1, 2, 3, 1, 2, 3]
        (group,) = (await api.get("/dead/groups"))["items"]
        assert (group["count"], group["cause"]) == (
            40,
            "RuntimeError in test_dead_letters.py:ship: no way to ship …",
        )
