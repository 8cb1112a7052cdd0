"""How all operations behave: problems, pages, ETags, who may call."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import httpx
import msgspec
import pytest
from litestar import Request
from litestar.exceptions import HTTPException
from msgspec import Raw
from msgspec.structs import replace

from api_client import api_of, api_on, problem
from busway.api.app import create_routes
from busway.api.etag import check_match, etag
from busway.control.access.slowdown import FIRST_DELAY_S, FREE_ATTEMPTS
from busway.control.context import ControlContext
from busway.control.job import create_job
from busway.control.job import job as job_of
from busway.control.page import cursor_of
from busway.flow import App
from busway.lane import Lane
from busway.sinks import console
from busway.testing import MemoryLedger, MemoryLog
from delivery_node import DEADLINE_S, event, running, until
from proof import PROOF, TOKEN

NAMES = [f"flow_{number}" for number in range(7)]


def app() -> App:
    found = App("shop")
    for name in NAMES:
        found.flow(name, when={"type": [name]}, to=console())
    return found


async def test_a_problem_says_what_is_wrong_and_what_was_meant(tmp_path: Path) -> None:
    async with running(app(), tmp_path / "data") as node, api_of(node) as api:
        detail = problem(await api.get("/flow"), 404)
        assert "events go to POST /events" in detail
        assert "did you mean /api/v1/flows?" in detail
        assert problem(await api.get("/flows/flow_x"), 404).startswith(
            "there is no flow 'flow_x'; did"
        )
        assert problem(await api.get("/flows/zzz"), 404).startswith(
            "there is no flow 'zzz'; there are: flow_0, flow_1"
        )
        answer = await api.post("/flows", json={})
        assert problem(answer, 405) == "/api/v1/flows does not take POST"
        assert "GET" in answer.headers["allow"]


@pytest.mark.parametrize(
    ("query", "place", "reason"),
    [
        ("limt=3", "query.limt", "did you mean 'limit'?"),
        ("limit=0", "query.limit", ">= 1"),
        ("limit=1001", "query.limit", "<= 1000"),
        ("limit=x", "query.limit", "int"),
    ],
)
async def test_a_query_that_is_not_known_is_refused(query: str, place: str, reason: str) -> None:
    async with api_on(ControlContext(log=MemoryLog(1), ledger=MemoryLedger())) as api:
        answer = await api.get(f"/flows?{query}")
    problem(answer, 400)
    (fault,) = answer.json()["errors"]
    assert fault["place"] == place
    assert reason in fault["reason"]


async def test_a_list_comes_in_pages(tmp_path: Path) -> None:
    async with running(app(), tmp_path / "data") as node, api_of(node) as api:
        found: list[str] = []
        query: dict[str, str | int] = {"limit": 3}
        pages = 0
        while True:
            page = (await api.get("/flows", params=query)).json()
            found += [one["name"] for one in page["items"]]
            pages += 1
            if page["next"] is None:
                break
            query["cursor"] = page["next"]
        assert (found, pages) == (NAMES, 3)
        detail = problem(await api.get("/flows?cursor=nonsense"), 400)
        assert "take `next` of its page before" in detail


async def test_who_has_it_already_is_told_so(tmp_path: Path) -> None:
    async with running(app(), tmp_path / "data") as node, api_of(node) as api:

        async def noted() -> bool:
            found = (await api.get("/destinations")).json()["items"]
            return all(one["since"] is not None for one in found)

        await until(noted, "how they do is kept")
        first = await api.get("/destinations")
        tag = first.headers["etag"]
        for known in (tag, f'"other", {tag}', "*", f"W/{tag}"):
            again = await api.get("/destinations", headers={"if-none-match": known})
            assert (again.status_code, again.content) == (304, b"")
            assert again.headers["etag"] == tag
        other = await api.get("/destinations", headers={"if-none-match": '"other"'})
        assert (other.status_code, other.content) == (200, first.content)


@pytest.mark.parametrize("path", ["/status", "/flows/flow_x", "/tail", "/flows?limit=x"])
async def test_head_answers_as_get_does_without_a_body(tmp_path: Path, path: str) -> None:
    async with running(app(), tmp_path / "data") as node, api_of(node) as api:
        found = await api.head(path)
        async with api.stream("GET", path) as whole:
            assert (found.status_code, found.content) == (whole.status_code, b"")
            assert found.headers["content-type"] == whole.headers["content-type"]
        assert (await api.get("/check")).status_code == 200


async def test_the_tag_of_a_record_is_that_of_its_answer(tmp_path: Path) -> None:
    """So that what was read can be changed with ``If-Match``."""
    async with running(app(), tmp_path / "data") as node, api_of(node) as api:
        answer = await api.get("/check")
        assert answer.headers["etag"] == etag({"ok": True, "faults": []})


class Record(msgspec.Struct, frozen=True):
    name: str


def asking(match: str | None) -> Request[Any, Any, Any]:
    headers = [] if match is None else [(b"if-match", match.encode())]
    return Request({"type": "http", "headers": headers})  # type: ignore[arg-type]


@pytest.mark.parametrize("match", [None, "*", etag(Record("a")), f'"x", {etag(Record("a"))}'])
def test_a_change_of_what_was_read_goes_on(match: str | None) -> None:
    check_match(asking(match), Record("a"))


@pytest.mark.parametrize(
    ("match", "now"), [(etag(Record("a")), Record("b")), ('"x"', Record("a")), ("*", None)]
)
def test_a_change_of_what_has_changed_is_refused(match: str, now: Record | None) -> None:
    with pytest.raises(HTTPException, match="changed since you read it") as told:
        check_match(asking(match), now)
    assert told.value.status_code == 412


async def test_with_a_token_only_who_brings_it_is_answered(tmp_path: Path) -> None:
    async with running(app(), tmp_path / "data") as node, api_of(node) as api:
        answer = await api.get("/status", headers={"authorization": ""})
        assert "BUSWAY_API_TOKEN" in problem(answer, 401)
        assert answer.headers["www-authenticate"].startswith("Bearer")
        problem(await api.get("/nothing", headers={"authorization": "Bearer no"}), 401)
        assert (await api.get("/status", headers={"host": "shop.example"})).status_code == 200
        await node.post(event(1))


@pytest.mark.parametrize("path", ["/status", "/openapi.json", "/tail?follow=false", "/nothing"])
async def test_a_node_without_a_token_answers_nobody(tmp_path: Path, path: str) -> None:
    async with running(app(), tmp_path / "data", api_token="") as node, api_of(node) as api:
        for given in ("", "Bearer", TOKEN):
            problem(await api.get(path, headers={"authorization": given}), 401)


@pytest.mark.parametrize("before", ["/", "//", "/api/v1//", "/%2f/", "/./", "/x/../"])
async def test_no_way_of_writing_a_path_leads_around_the_token(tmp_path: Path, before: str) -> None:
    async with running(app(), tmp_path / "data") as node:
        for path in ("/api/v1/status", "/api/v1/openapi.json"):
            for line in (f"{before}{path}", before + path.removeprefix("/api/v1/")):
                reader, writer = await asyncio.open_connection("127.0.0.1", node.node.port)
                writer.write(f"GET {line} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
                status = (await reader.readline()).split()[1]
                assert status in (b"401", b"404"), line
                writer.close()


async def test_a_handler_that_nobody_guards_answers_nobody() -> None:
    control = ControlContext(log=MemoryLog(1), ledger=MemoryLedger())
    transport = httpx.ASGITransport(cast(Any, create_routes(lambda: control)))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        for path in ("/api/v1/status", "/api/v1/openapi.json"):
            problem(await client.get(path), 401)
        assert (await client.get("/")).status_code == 200


@pytest.mark.parametrize(
    "page",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "http://evil.example"},
        {"origin": "null"},
    ],
)
@pytest.mark.parametrize("path", ["/status", "/tail"])
async def test_a_page_of_another_origin_reads_nothing(
    tmp_path: Path, path: str, page: dict[str, str]
) -> None:
    async with running(app(), tmp_path / "data") as node, api_of(node) as api:
        assert "another origin" in problem(await api.get(path, headers=page), 403)


async def test_when_it_is_open_a_strange_name_is_refused_and_a_page_cannot_post(
    tmp_path: Path,
) -> None:
    chosen = {"api_open": True, "api_token": ""}
    async with running(app(), tmp_path / "data", None, **chosen) as node, api_of(node) as api:
        assert (await api.get("/status", headers={"authorization": ""})).status_code == 200
        assert "evil.example" in problem(
            await api.get("/status", headers={"host": "evil.example"}), 403
        )
        form = {"content-type": "text/plain"}
        problem(await api.post("/flows", content=b"{}", headers=form), 415)
        seen = await api.request("OPTIONS", "/status", headers={"origin": "http://evil.example"})
        assert "access-control-allow-origin" not in seen.headers


async def test_the_intake_goes_on_beside_it_on_the_same_port(tmp_path: Path) -> None:
    async with running(app(), tmp_path / "data") as node:
        base = f"http://127.0.0.1:{node.node.port}"
        async with httpx.AsyncClient(base_url=base, trust_env=False, timeout=DEADLINE_S) as client:
            for number in range(20):
                sent = await client.post("/events", json=event(number))
                assert sent.status_code == 202
                status = (await client.get("/api/v1/status", headers=PROOF)).json()
                assert sum(one["end"] for one in status["log"]["partitions"]) == number + 1
            assert (await client.get("/healthz")).text == "ok\n"
            problem(await client.get("/nowhere"), 404)


async def test_a_defect_is_told_without_its_text() -> None:
    class Broken(MemoryLedger):
        async def lanes(self) -> list[Lane]:
            raise RuntimeError("a secret")

    async with api_on(ControlContext(log=MemoryLog(1), ledger=Broken())) as api:
        answer = await api.get("/flows")
    assert problem(answer, 500) == "internal error; see the server's log"
    assert "secret" not in answer.text


@pytest.mark.parametrize("path", ["/dead/redrive", "/replays", "/flows/orders/pause"])
async def test_an_empty_body_is_told(path: str) -> None:
    async with api_on(ControlContext(log=MemoryLog(1), ledger=MemoryLedger())) as api:
        answer = await api.post(path, headers={"content-type": "application/json"})
    assert problem(answer, 400) == "body: it is empty; send JSON, at least {}"


async def test_a_mistake_is_told_in_the_words_of_the_request() -> None:
    async with api_on(ControlContext(log=MemoryLog(1), ledger=MemoryLedger())) as api:
        query = await api.get("/dead?state=alive")
        body = await api.post("/dead/redrive", json={"plases": []})
        listed = await api.post("/dead/redrive", json=[])
    assert query.json()["errors"][0]["place"] == "query.state"
    assert problem(body, 400) == (
        "body: Object contains unknown field `plases`; did you mean 'places'?"
    )
    assert problem(listed, 400).startswith("body: Expected `object`")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"/dead/orders/0/{2**70}", 404),
        (f"/dead/orders/{2**70}/0", 404),
        (f"/dead?cursor={cursor_of(('orders', 0, 2**70))}", 400),
        (f"/audit?cursor={cursor_of(2**70)}", 400),
        (f"/events?cursor={cursor_of([{'partition': 1, 'first': 0, 'end': 9}])}", 400),
        (f"/events?cursor={cursor_of([{'partition': -2, 'first': 0, 'end': 9}])}", 400),
    ],
)
async def test_numbers_that_nothing_has_are_no_defect(path: str, status: int) -> None:
    async with api_on(ControlContext(log=MemoryLog(1), ledger=MemoryLedger())) as api:
        problem(await api.get(path), status)


async def test_who_asks_may_be_called_as_people_are(tmp_path: Path) -> None:
    async with (
        running(app(), tmp_path / "data") as node,
        api_of(node) as api,
    ):
        headers = {b"busway-actor": "jörg".encode()}
        paused = await api.post("/flows/flow_1/pause", json={}, headers=headers)
        assert paused.json()["controls"]["pause"]["actor"] == "api-token (jörg)"


@pytest.mark.parametrize("id", ["/a", "a//b/", "a/b", "a%2Fb ?#", "å"])
async def test_an_event_is_found_whatever_its_id(id: str, tmp_path: Path) -> None:
    async with running(app(), tmp_path / "data") as node, api_of(node) as api:
        await node.post(event(1) | {"id": id})
        told = await api.get(f"/events/{quote(id, safe='')}")
    assert told.json().get("id") == id, told.text


async def test_a_body_that_is_nested_too_deeply_is_told() -> None:
    async with api_on(ControlContext(log=MemoryLog(1), ledger=MemoryLedger())) as api:
        json = {"content-type": "application/json"}
        answer = await api.post("/dead/redrive", content=b"[" * 100_000, headers=json)
    assert problem(answer, 400) == "body: it is nested too deeply"


async def test_a_replay_into_no_file_is_refused_and_stops_no_other(tmp_path: Path) -> None:
    async with running(app(), tmp_path / "data") as node, api_of(node) as api:
        await node.post(event(1, type="flow_1"))
        await node.until("flow_1", delivered=1)
        refused = await api.post("/replays", json={"flow": "flow_1", "into": "again/"})
        assert "is not the name of a file" in problem(refused, 400)
        begun = await api.post("/replays", json={"flow": "flow_1", "into": "x"})
        job = await job_of(node.stores.ledger, begun.json()["id"])
        spoilt = Raw(b'{"flow":"flow_1","into":"a\\u0000b"}')
        made = replace(job, id="r1", state="running", spec=spoilt, created_at=datetime.now(UTC))
        await create_job(node.stores.ledger, made)
        again = await api.post("/replays", json={"flow": "flow_1", "into": "y"})

        async def ended() -> bool:
            found = [(await api.get(f"/replays/{id}")).json() for id in ("r1", again.json()["id"])]
            return [one["state"] for one in found] == ["failed", "done"]

        await until(ended, "the other one")


async def test_a_replay_says_why_its_file_takes_nothing(tmp_path: Path) -> None:
    async with running(app(), tmp_path / "data") as node, api_of(node) as api:
        await node.post(event(1, type="flow_1"))
        await node.until("flow_1", delivered=1)
        (tmp_path / "data" / "replays" / "taken").mkdir(parents=True)
        into = {"flow": "flow_1", "into": "taken"}
        id = (await api.post("/replays", json=into)).json()["id"]

        async def told() -> bool:
            return "taken" in (await api.get(f"/replays/{id}")).json()["note"]

        await until(told, "the reason")
        assert (await api.post(f"/replays/{id}/stop", json={})).json()["state"] == "stopped"


async def test_wrong_tokens_are_slowed_down_and_the_right_one_is_not(tmp_path: Path) -> None:
    wrong, sent = {"authorization": "Bearer wr0ng-t0ken-which-nobody-has"}, FREE_ATTEMPTS + 4
    async with running(app(), tmp_path / "data") as node, api_of(node) as api:
        began = time.monotonic()
        answers = await asyncio.gather(*(api.get("/status", headers=wrong) for _ in range(sent)))
        assert time.monotonic() - began >= FIRST_DELAY_S * 2**3, "the last one is held back longest"
        assert {problem(one, 401)[:27] for one in answers} == {"the token that was sent is "}
        waiting = asyncio.create_task(api.get("/status", headers=wrong))
        assert (await api.get("/status")).status_code == 200
        assert not waiting.done(), "the right one overtakes"
        waiting.cancel()
        url = f"http://127.0.0.1:{node.node.port}/metrics"
        told = (await api.get(url)).text
    counted = f'busway_unauthorized_total{{part="api",reason="wrong"}} {sent}.0'
    assert counted in told or counted.replace(f"{sent}.0", f"{sent + 1}.0") in told
