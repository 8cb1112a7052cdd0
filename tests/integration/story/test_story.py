"""Where is order 4711? Every answer that there can be, with real destinations, over the API."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import msgspec

from busway import App, Backoff, Event, Reject
from busway.control.dead_letter.edit import edit_dead_letter
from busway.sinks import bus, console, http, jsonl, postgres, sqlite
from delivery_node import QUICK, Running, event, running, until
from http_target import Answer, Call, HttpTarget, http_target
from postgres_server import PostgresServer

SLOW = Backoff(first=3600.0, cap=3600.0, attempts=5)


async def told(on: Running, id: str, **query: str) -> dict[str, Any]:
    """Return the story of an event, as the API tells it."""
    url = on.url.replace("/events", f"/api/v1/events/{id}")
    async with on.session.get(url, params=query) as answer:
        found: dict[str, Any] = await answer.json()
        assert answer.status == 200, found
        return found


async def part(on: Running, id: str, flow: str) -> dict[str, Any]:
    """Return one flow's part of a story."""
    found = await told(on, id)
    (one,) = [one for one in found["flows"] if one["flow"] == flow and one["replay"] is None]
    return dict(one)


async def steer(on: Running, method: str, path: str, **body: Any) -> dict[str, Any]:
    url = on.url.replace("/events", f"/api/v1{path}")
    headers = {"Busway-Actor": "ada"}
    async with on.session.request(method, url, json=body, headers=headers) as answer:
        found: dict[str, Any] = await answer.json()
        assert answer.status < 300, found
        return found


async def test_delivered_to_postgresql_with_table_and_key(
    server: PostgresServer, tmp_path: Path
) -> None:
    app = App("shop")
    app.flow("orders", to=postgres(server.dsn, table="orders", key="n", create=True))
    before = datetime.now(UTC)
    async with running(app, tmp_path / "bus") as on:
        await on.post(event(4711, "ada"))
        await on.until("orders", delivered=1)
        story = await told(on, "e4711")
        (flow,) = story["flows"]
    assert (story["id"], story["source"], story["type"], story["key"]) == (
        "e4711",
        "/test",
        "made",
        "ada",
    )
    assert story["event"]["data"] == {"n": 4711}
    assert story["complete"] is True
    assert before <= datetime.fromisoformat(story["appended_at"]) <= datetime.now(UTC)
    assert (flow["state"], flow["matched"]) == ("delivered", True)
    assert before <= datetime.fromisoformat(flow["since"]) <= datetime.now(UTC)
    assert flow["result"]["location"]["kind"] == "table"
    assert flow["result"]["location"]["place"].startswith("public.orders of postgres 127.0.0.1")
    assert flow["result"]["row"] == {"n": 4711}
    connection = await asyncpg.connect(server.dsn)
    try:
        assert await connection.fetchval("SELECT n FROM orders WHERE n = 4711") == 4711
    finally:
        await connection.close()


async def test_delivered_over_http_into_files_and_tables(tmp_path: Path) -> None:
    async with http_target() as target:
        app = App("shop")
        app.flow("crm", to=http(target.url))
        app.flow("archive", to=jsonl(str(tmp_path / "archive.jsonl")))
        file = str(tmp_path / "shop.db")

        @app.flow(to=sqlite(file, table="small", key="n", create=True))
        def small(found: Event) -> dict[str, Any] | None:
            return {"n": found.data["n"]}

        async with running(app, tmp_path / "bus") as on:
            await on.post(event(1))
            for flow in ("crm", "archive", "small"):
                await on.until(flow, delivered=1)
            crm, archive, rows = [await part(on, "e1", one) for one in ("crm", "archive", "small")]
    assert crm["result"]["location"] == {"kind": "request", "place": f"POST {target.url}"}
    assert crm["result"]["idempotency_key"] == target.calls[0].key
    assert archive["result"]["location"]["place"] == str(tmp_path / "archive.jsonl")
    assert rows["result"]["location"] == {
        "kind": "table",
        "place": f"small of sqlite {file}",
        "key": ["n"],
    }
    assert rows["result"]["row"] is None


async def test_filtered_by_a_clause_and_filtered_by_a_step(tmp_path: Path) -> None:
    app = App("shop")
    app.flow("big", when={"data": {"n": [{"numeric": [">", 100]}]}}, to=console())

    @app.flow(when={"type": ["made"]}, to=jsonl(str(tmp_path / "even.jsonl")))
    def even(found: Event) -> dict[str, Any] | None:
        return None if found.data["n"] % 2 else found.data

    async with running(app, tmp_path / "bus") as on:
        await on.post(event(7, "k"))
        await on.until("even", filtered=1)
        await on.until("big", filtered=1)
        big, odd = await part(on, "e7", "big"), await part(on, "e7", "even")
        assert (big["state"], big["matched"]) == ("filtered", False)
        assert big["why_not"]["place"] == "$.data.n"
        assert big["why_not"]["clause"] == '[{"numeric":[">",100]}]'
        assert big["why_not"]["found"] == [7]
        assert (odd["state"], odd["matched"]) == ("filtered", True)
        assert odd["text"] == "a step filtered it"
        await on.post(*(event(n, "k") for n in (8, 9, 10)))
        await on.until("even", delivered=2)
        mixed = await part(on, "e8", "even")
        assert mixed["state"] == "delivered_or_filtered"
        assert "filtered by a step" in mixed["text"]


async def test_what_the_rule_left_out_is_counted_apart_from_what_steps_did(tmp_path: Path) -> None:
    app = App("shop")

    @app.flow(when={"data": {"n": [{"numeric": ["<", 3]}]}}, to=jsonl(str(tmp_path / "a.jsonl")))
    def some(found: Event) -> dict[str, Any] | None:
        return dict(found.data)

    async with running(app, tmp_path / "bus") as on:
        await on.post(*(event(n, "k") for n in range(6)))
        await on.until("some", delivered=3, filtered=3)
        assert (await part(on, "e2", "some"))["text"] == (
            "it was delivered: no step filtered any event of its range"
        )
        assert (await part(on, "e3", "some"))["why_not"]["found"] == [3]


async def test_the_rule_of_then_explains_what_happened_then(tmp_path: Path) -> None:
    def app_for(least: int) -> App:
        app = App("shop")
        app.flow("big", when={"data": {"n": [{"numeric": [">", least]}]}}, to=console())
        return app

    async with running(app_for(100), tmp_path / "bus") as on:
        await on.post(event(50))
        await on.until("big", filtered=1)
    async with running(app_for(10), tmp_path / "bus") as on:
        await on.post(event(51))
        await on.until("big", delivered=1)
        assert (await part(on, "e50", "big"))["why_not"]["clause"] == '[{"numeric":[">",100]}]'
        assert (await part(on, "e51", "big"))["state"] == "delivered"


def failing(app: App, path: Path, retry: Backoff) -> None:
    @app.flow("orders", to=jsonl(str(path)), retry=retry)
    def order(found: Event) -> dict[str, Any]:
        if not found.data.get("total"):
            raise KeyError("total")
        return dict(found.data)


async def test_parked_then_dead_then_edited_and_redriven_by_ada(tmp_path: Path) -> None:
    app = App("shop")
    failing(app, tmp_path / "o.jsonl", QUICK)
    async with running(app, tmp_path / "bus") as on:
        await on.post(event(1))
        await on.until("orders", dead=1)
        dead = await part(on, "e1", "orders")
        assert (dead["state"], dead["attempts"], len(dead["failures"])) == ("dead", 3, 3)
        assert "KeyError" in dead["text"]
        assert "Traceback" in dead["failures"][0]["traceback"]
        letter = (await on.troubles("orders", state="dead"))[0]
        place = f"orders/{letter.partition}/{letter.offset}"
        mended = msgspec.json.encode(event(1, data={"total": 5}))
        await edit_dead_letter(on.stores.ledger, letter, mended, datetime.now(UTC), "ada")
        await steer(on, "POST", "/dead/redrive", places=[place], reason="mended")
        await on.until("orders", delivered=1)
        done = await part(on, "e1", "orders")
    assert done["state"] == "delivered"
    assert len(done["failures"]) == 3
    deeds = [(one["actor"], one["action"], one["reason"]) for one in done["operator_actions"]]
    assert deeds == [("ada", "dead edit", ""), ("api-token (ada)", "dead redrive", "mended")]


async def test_redriven_through_mended_code_is_told_with_the_version_that_delivered_it(
    tmp_path: Path,
) -> None:
    def app_with(step: Callable[[Event], dict[str, int]]) -> App:
        app = App("shop")
        app.flow("orders", steps=[step], to=jsonl(str(tmp_path / "o.jsonl")))
        return app

    def broken(found: Event) -> dict[str, int]:
        raise Reject("always")

    def mended(found: Event) -> dict[str, int]:
        return {"total": 5}

    async with running(app_with(broken), tmp_path / "bus") as on:
        await on.post(event(1))
        await on.until("orders", dead=1)
        (before,) = on.node.program.flows
    async with running(app_with(mended), tmp_path / "bus") as on:
        (after,) = on.node.program.flows
        await steer(on, "POST", "/dead/redrive", places=["e1"])
        await on.until("orders", delivered=1)
        assert before.version != after.version
        assert (await part(on, "e1", "orders"))["version"] == after.version


async def test_parked_is_told_with_its_error_and_when_it_is_due(tmp_path: Path) -> None:
    app = App("shop")
    failing(app, tmp_path / "o.jsonl", SLOW)
    async with running(app, tmp_path / "bus") as on:
        await on.post(event(1))
        await on.until("orders", parked=1)
        found = await part(on, "e1", "orders")
    assert (found["state"], found["attempts"]) == ("parked", 1)
    assert datetime.fromisoformat(found["due"]) > datetime.now(UTC)
    assert found["failures"][0]["stage"] == "step"


async def test_discarded_with_who_and_why(tmp_path: Path) -> None:
    app = App("shop")

    @app.flow("orders", to=console())
    def order(found: Event) -> None:
        raise Reject("never")

    async with running(app, tmp_path / "bus") as on:
        await on.post(event(1))
        await on.until("orders", dead=1)
        letter = (await on.troubles("orders", state="dead"))[0]
        place = f"orders/{letter.partition}/{letter.offset}"
        await steer(on, "POST", "/dead/discard", places=[place], reason="a test order")
        await on.until("orders", discarded=1)
        found = await part(on, "e1", "orders")
    assert found["state"] == "discarded"
    assert found["text"] == "it was discarded by api-token (ada), after 1 failed: a test order"
    assert [one["action"] for one in found["operator_actions"]] == ["dead discard"]


async def test_behind_an_earlier_event_of_its_key(tmp_path: Path) -> None:
    app = App("shop")

    @app.flow("orders", to=jsonl(str(tmp_path / "o.jsonl")), retry=SLOW, ordered=True)
    def order(found: Event) -> dict[str, Any]:
        if found.data["n"] == 1:
            raise RuntimeError("not yet")
        return dict(found.data)

    async with running(app, tmp_path / "bus") as on:
        await on.post(event(1, "k"), event(2, "k"), event(3, "other"))
        await on.until("orders", parked=2)
        found = await part(on, "e2", "orders")
    assert (found["state"], found["behind"], found["attempts"]) == ("parked", "e1", 0)


async def test_waiting_because_its_destination_is_down(tmp_path: Path) -> None:
    async with http_target() as target:
        app = App("shop")
        app.flow("crm", to=http(target.url))
        async with running(app, tmp_path / "bus") as on:
            await target.stop()
            await on.post(event(1, "k"))
            await on.post(event(2, "k"))
            await on.until("crm", breaker="open")
            found = await part(on, "e2", "crm")
            assert (found["state"], found["matched"]) == ("waiting", True)
            assert found["ahead"] == 1
            assert found["held"].startswith("down since 20")
            assert found["advice"].startswith(f"it waits for {found['destination']} (down since ")
            await target.start()
            await on.until("crm", delivered=2)
            assert (await part(on, "e2", "crm"))["state"] == "delivered"


async def test_waiting_because_ada_paused_it(tmp_path: Path) -> None:
    app = App("shop")
    app.flow("orders", to=jsonl(str(tmp_path / "o.jsonl")))
    async with running(app, tmp_path / "bus") as on:
        await steer(on, "POST", "/flows/orders/pause", reason="stocktaking")
        await on.post(event(1, "k"), event(2, "k"))
        await on.until("orders", backlog=2)
        found = await part(on, "e2", "orders")
        assert (found["state"], found["ahead"]) == ("waiting", 1)
        assert "paused" in found["held"]
        assert "ada" in found["held"]
        assert "stocktaking" in found["held"]


async def test_it_came_before_the_flow_began_or_the_flow_is_gone(tmp_path: Path) -> None:
    first, second = App("shop"), App("shop")
    first.flow("first", to=console())
    second.flow("second", to=console())
    async with running(first, tmp_path / "bus") as on:
        await on.post(event(1))
        await on.until("first", delivered=1)
    async with running(second, tmp_path / "bus") as on:
        await on.post(event(2))
        await on.until("second", delivered=1)
        early = await part(on, "e1", "second")
        late = await part(on, "e2", "first")
    assert early["state"] == "before_start"
    assert (late["state"], late["declared"]) == ("waiting", False)
    assert late["held"].startswith("undeclared")


async def test_what_caused_it_and_what_it_caused(tmp_path: Path) -> None:
    app = App("shop")
    steps = [lambda found: dict(found.data)]
    app.flow("check", when={"type": ["made"]}, to=bus(type="checked"), steps=steps)
    app.flow("bill", when={"type": ["checked"]}, to=bus(type="billed"), steps=steps)
    app.flow("print", when={"type": ["billed"]}, to=jsonl(str(tmp_path / "bills.jsonl")))
    async with running(app, tmp_path / "bus") as on:
        await on.post(event(1, "k"), event(2, "k"))
        for flow in ("check", "bill", "print"):
            await on.until(flow, delivered=2)
        story = await told(on, "e1")
        (checked,) = story["effects"]
        (billed,) = checked["effects"]
        assert (checked["type"], checked["flow"]) == ("checked", "check")
        assert (billed["type"], billed["flow"], billed["effects"]) == ("billed", "bill", [])
        assert (await part(on, "e1", "check"))["text"] == (
            "it was delivered: what the flow made of it is on the bus"
        )
        last = await told(on, billed["id"])
        assert [one["id"] for one in last["causes"]] == [checked["id"], "e1"]
        assert last["effects"] == []


async def test_the_same_id_of_two_sources(tmp_path: Path) -> None:
    app = App("shop")
    app.flow("orders", to=console())
    async with running(app, tmp_path / "bus") as on:
        await on.post(event(1))
        await on.post(event(1, source="/other"))
        await on.until("orders", delivered=2)
        latest, first = await told(on, "e1"), await told(on, "e1", source="/test")
    assert (latest["source"], first["source"]) == ("/other", "/test")
    assert [one["source"] for one in latest["others"]] == ["/test"]
    assert [one["source"] for one in first["others"]] == ["/other"]


async def test_an_event_that_is_not_there(tmp_path: Path) -> None:
    app = App("shop")
    app.flow("orders", to=console())
    async with running(app, tmp_path / "bus") as on:
        url = on.url.replace("/events", "/api/v1/events/nobody")
        async with on.session.get(url) as answer:
            assert answer.status == 404
            found = await answer.json()
    assert "there is no event 'nobody': it never arrived, or was trimmed" in found["detail"]


async def test_a_trimmed_event_is_told_from_its_copy(tmp_path: Path) -> None:
    app = App("shop")
    failing(app, tmp_path / "o.jsonl", SLOW)
    async with running(app, tmp_path / "bus", retention_age_s=0.0) as on:
        await on.post(event(1))
        await on.until("orders", parked=1)

        async def trimmed() -> bool:
            bounds = [await on.stores.log.bounds(partition) for partition in range(2)]
            return all(first == end for first, end in bounds)

        await until(trimmed, "the trimming")
        story = await told(on, "e1")
    assert (story["appended_at"], story["event"]["id"]) == (None, "e1")
    assert [one["state"] for one in story["flows"]] == ["parked"]


async def test_an_http_status_is_kept_of_every_attempt(tmp_path: Path) -> None:
    async with http_target() as target:
        refuse(target)
        app = App("shop")
        app.flow("crm", to=http(target.url), retry=QUICK)
        async with running(app, tmp_path / "bus") as on:
            await on.post(event(1))
            await on.until("crm", dead=1)
            found = await part(on, "e1", "crm")
    assert {one["error"] for one in found["failures"]} == {"http 500"}
    assert "no stock" in found["failures"][0]["reason"]


def refuse(target: HttpTarget) -> None:
    def decide(call: Call) -> Answer:
        return Answer(500, body=b"no stock")

    target.decide = decide


async def test_search_by_key_by_path_and_by_time(tmp_path: Path) -> None:
    app = App("shop")
    app.flow("orders", to=console())
    async with running(app, tmp_path / "bus") as on:
        await on.post(*(event(n, f"k{n % 3}", data={"customer": {"id": n % 5}}) for n in range(30)))
        between = datetime.now(UTC).isoformat()
        await on.post(*(event(n, f"k{n % 3}") for n in range(30, 36)))
        url = on.url.replace("/events", "/api/v1/events")

        async def ids(**query: Any) -> set[str]:
            found: set[str] = set()
            while True:
                async with on.session.get(url, params=query) as answer:
                    page = await answer.json()
                    assert answer.status == 200, page
                found |= {one["event"]["id"] for one in page["items"]}
                if page["next"] is None:
                    return found
                query["cursor"] = page["next"]

        assert await ids(key="k1") == {f"e{n}" for n in range(1, 36, 3)}
        assert await ids(key="k1", since=between) == {"e31", "e34"}
        assert await ids(where="data.customer.id=2", limit=1) == {f"e{n}" for n in range(2, 30, 5)}
        assert await ids(where="$.data[?@.id == 4].id", until=between, key="k0") == {
            "e9",
            "e24",
        }
        async with on.session.get(url, params={"where": "data[?"}) as answer:
            assert answer.status == 400


async def test_a_replay_that_passed_it(tmp_path: Path) -> None:
    app = App("shop")
    app.flow("orders", to=jsonl(str(tmp_path / "o.jsonl")))
    again = "again.jsonl"
    async with running(app, tmp_path / "bus") as on:
        await on.post(event(1, "k"), event(2, "k"))
        await on.until("orders", delivered=2)
        made = await steer(
            on, "POST", "/replays", flow="orders", select={"ids": ["e1"]}, into=again
        )

        async def done() -> bool:
            found = await steer(on, "GET", f"/replays/{made['id']}")
            return bool(found["state"] == "done")

        await until(done, "the replay")
        (first,) = [one for one in (await told(on, "e1"))["flows"] if one["replay"]]
        (second,) = [one for one in (await told(on, "e2"))["flows"] if one["replay"]]
    assert (first["flow"], first["replay"], first["state"]) == ("orders", made["id"], "delivered")
    assert first["result"]["location"] == {"kind": "file", "place": again}
    assert (second["state"], second["text"]) == ("filtered", "the replay was not asked for it")


async def test_a_throttle_is_told(tmp_path: Path) -> None:
    app = App("shop")
    app.flow("slow", to=console(), rate="1/h")
    async with running(app, tmp_path / "bus") as on:
        await on.post(*(event(n, "k") for n in range(4)))
        await on.until("slow", delivered=1)
        found = await part(on, "e3", "slow")
        assert (found["state"], found["ahead"]) == ("waiting", 2)
        assert found["held"].startswith("it delivers at most 0.0002")
        await steer(on, "PUT", "/flows/slow/throttle", rate="2/h", reason="they asked")
        held = (await part(on, "e3", "slow"))["held"]
        assert held.startswith("throttled to rate 2/h by api-token (ada) since 20")
        assert held.endswith(": they asked")
