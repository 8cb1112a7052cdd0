"""Replays over HTTP, where only the ledger knows what has landed; and beside a flow's lanes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from api_client import api_of, problem
from busway.control.dead_letter.dead_letter import root_causes
from busway.control.dead_letter.selection import DeadLetterSelection
from busway.control.flow.status import flow_statuses
from busway.control.operator_control import operation as steer
from busway.control.operator_control.operation import ControlCommand
from busway.control.operator_control.record import ControlTarget
from busway.control.replay import operation as control
from busway.delivery.replay import ReplayOffsets
from busway.errors import Conflict, Reject
from busway.event import Event
from busway.failed_event import Resolution
from busway.flow import App, CompiledApp, compile_app
from busway.sinks import bus, http, jsonl
from delivery_node import event, running, until
from http_target import HttpTarget, http_target
from replay_node import begun, counted, ended, reached, replayed


@pytest.fixture
async def target() -> AsyncIterator[HttpTarget]:
    async with http_target() as found:
        yield found


def shop(target: HttpTarget, version: int = 1, **more: Any) -> App:
    app = App("test")

    @app.flow(when={"type": ["made"]}, to=http(target.url), **more)
    def f(given: Event) -> dict[str, Any]:
        if given.data.get("bad"):
            raise Reject("bad")
        return {"n": given.data["n"], "version": version}

    return app


def program(target: HttpTarget, version: int) -> CompiledApp:
    return compile_app(shop(target, version, timeout=f"{version}m"))


async def test_what_this_version_delivered_is_skipped(target: HttpTarget, tmp_path: Path) -> None:
    async with running(shop(target), tmp_path) as node:
        await node.post(*(event(number, data={"bad": number == 4}) for number in range(10)))
        await node.until("f", delivered=9, dead=1)
        found = await counted(node)
        assert (found.selected, found.already_delivered, found.to_replay) == (10, 9, 1)
        done = await replayed(node)
        assert (done.skipped, done.dead, done.delivered, done.failed_again) == (9, 0, 0, 1)
        assert len(target.taken) == 9
        (letter,) = await node.troubles("f", state="dead")
        assert [one.attempt for one in letter.failures] == [1, 1], "no second letter beside it"
        (found_again,) = await root_causes(node.stores.ledger, DeadLetterSelection(), both=True)
        (status,) = await flow_statuses(node.stores.log, node.stores.ledger)
        assert (found_again.dead, found_again.parked) == (status.dead, status.parked) == (1, 0)


async def test_another_version_sends_it_again_with_the_keys_of_the_first_time(
    target: HttpTarget, tmp_path: Path
) -> None:
    async with running(shop(target), tmp_path) as node:
        await node.post(*(event(number) for number in range(10)))
        await node.until("f", delivered=10)
        first = {call.key for call in target.taken}
        await node.node.change_program(program(target, 2))
        found = await counted(node)
        assert (found.already_delivered, found.to_replay) == (0, 10)
        assert (await replayed(node)).delivered == 10
        assert len(target.taken) == 20
        assert {call.key for call in target.taken} == first
        await replayed(node, force=True)
        assert len({call.key for call in target.taken}) == 20


async def test_what_was_discarded_goes_again(target: HttpTarget, tmp_path: Path) -> None:
    async with running(shop(target), tmp_path) as node:
        await node.post(*(event(number, data={"bad": number == 4}) for number in range(10)))
        await node.until("f", delivered=9, dead=1)
        (one,) = await node.troubles("f")
        place = (one.flow, one.partition, one.offset, one.attempts, one.state)
        given_up = Resolution(*place, "discarded", datetime.now(UTC), actor="tester")
        assert await node.stores.ledger.resolve([given_up]) == [True]
        found = await counted(node)
        assert (found.already_delivered, found.to_replay) == (9, 1)
        assert (await replayed(node)).dead == 1


async def test_live_events_do_not_wait_and_it_stops_and_goes_on(
    target: HttpTarget, tmp_path: Path
) -> None:
    async with running(shop(target), tmp_path) as node:
        await node.post(*(event(number) for number in range(100)))
        await node.until("f", delivered=100)
        slow = await begun(node, force=True, rate="20/s")
        await reached(node, slow.id, lambda one: one.delivered > 2 and one.remaining_s is not None)
        with pytest.raises(Conflict, match="is running"):
            await control.forget_replay(node.node.control, slow.id, "tester")
        stopped = await control.stop_replay(node.node.control, slow.id, "tester")
        assert stopped.state == "stopped"
        await replayed(node, ids=("e0",), force=True)  # whoever took it up has let go of the other
        still = await control.replay(node.node.control, slow.id)
        assert stopped.done <= still.done < 100
        await node.post(*(event(number) for number in range(100, 110)))
        await node.until("f", delivered=110)
        assert (await control.replay(node.node.control, slow.id)).done == still.done
        resumed = await control.resume_replay(node.node.control, slow.id, "tester")
        assert (resumed.state, resumed.total) == ("running", 100)
        await node.post(*(event(number) for number in range(110, 120)))
        await node.until("f", delivered=120)
        assert (await control.replay(node.node.control, slow.id)).state == "running"
        assert (await ended(node, slow.id)).delivered == 100
        assert len(target.taken) == 100 + 1 + 20 + 100


async def test_it_goes_on_after_a_reload_and_waits_for_its_flow(
    target: HttpTarget, tmp_path: Path
) -> None:
    other = App("test")
    other.flow("g", when={"type": ["made"]}, to=http(target.url))
    async with running(shop(target), tmp_path) as node:
        await node.post(*(event(number) for number in range(60)))
        await node.until("f", delivered=60)
        slow = await begun(node, force=True, rate="20/s")
        await reached(node, slow.id, lambda one: one.delivered > 2)
        await node.node.change_program(program(target, 2))
        before = await control.replay(node.node.control, slow.id)
        await reached(node, slow.id, lambda one: one.delivered > before.delivered)
        await node.node.change_program(compile_app(other))
        waiting = await reached(node, slow.id, lambda one: "does not run here" in one.note)
        assert waiting.state == "running"
        await node.node.change_program(program(target, 3))
        done = await ended(node, slow.id)
        assert (done.delivered, done.note) == (60, "")
        versions = {msgspec.json.decode(call.body)["version"] for call in target.taken[60:]}
        assert versions == {1, 2, 3}
        assert len(target.taken) == 120


async def test_it_waits_while_its_flow_is_paused(target: HttpTarget, tmp_path: Path) -> None:
    async with running(shop(target), tmp_path) as node:
        await node.post(*(event(number) for number in range(10)))
        await node.until("f", delivered=10)
        order, flow = ControlCommand("tester"), ControlTarget("flow", "f")
        await steer.pause(node.node.control, flow, order)
        await node.until("f", state="paused")
        one = await begun(node, force=True)
        into = await replayed(node, into="beside.jsonl")
        assert into.delivered == 10
        assert (await control.replay(node.node.control, one.id)).done == 0
        assert len(target.taken) == 10
        await steer.resume(node.node.control, flow, order)
        assert (await ended(node, one.id)).delivered == 10


async def test_the_log_is_kept_for_it_and_for_no_longer(target: HttpTarget, tmp_path: Path) -> None:
    async with running(shop(target), tmp_path, partitions=1) as node:
        for number in range(10):
            await node.post(event(number))
        await node.until("f", delivered=10)
        slow = await begun(node, force=True, rate="1/h")
        await reached(node, slow.id, lambda one: one.done == 1)
        await replayed(node, force=True)
        statuses = await flow_statuses(node.stores.log, node.stores.ledger)
        assert [one.name for one in statuses] == ["f"]
    async with running(shop(target), tmp_path, partitions=1, retention_age_s=0.0) as node:
        log = node.stores.log

        async def begins_at(offset: int) -> bool:
            return (await log.bounds(0))[0] == offset

        one = await reached(node, slow.id, lambda one: one.done == 2)  # a new process, a new hour
        assert one.remaining_s is None or one.remaining_s > 1
        await until(lambda: begins_at(2))
        await control.stop_replay(node.node.control, slow.id, "tester")
        await control.forget_replay(node.node.control, slow.id, "tester")
        await until(lambda: begins_at(10))
        await node.post(event(10))
        await until(lambda: begins_at(11))  # though the other one, which is done, ended at 10


async def test_a_flow_into_the_bus_is_not_doubled(tmp_path: Path) -> None:
    app = App("test")

    @app.flow(when={"type": ["made"]}, to=bus(type="copied"))
    def copy(given: Event) -> object:
        return given.data

    app.flow("all", when={"type": ["copied"]}, to=jsonl(str(tmp_path / "out.jsonl")))
    async with running(app, tmp_path / "data", partitions=1) as node:
        await node.post(*(event(number) for number in range(10)))
        await node.until("all", delivered=10)
        assert (await replayed(node, "copy", offsets=(ReplayOffsets(0, 0, 10),))).skipped == 10
        await replayed(node, "copy", offsets=(ReplayOffsets(0, 0, 10),), force=True)
        await node.until("all", delivered=20)
        written = lines(tmp_path / "out.jsonl")
        assert {(one["type"], one["source"]) for one in written} == {("copied", "/busway/copy")}
        assert len({one["id"] for one in written}) == 20


def lines(path: Path) -> list[dict[str, Any]]:
    return [msgspec.json.decode(line) for line in path.read_text().splitlines()]


async def test_over_the_api(target: HttpTarget, tmp_path: Path) -> None:
    async with running(shop(target), tmp_path) as node, api_of(node) as api:
        await node.post(*(event(number) for number in range(10)))
        await node.until("f", delivered=10)
        asked = {"flow": "f", "select": {"ids": ["e3"]}, "force": True}
        answer = await api.post("/replays/count", json=asked)
        assert answer.status_code == 200
        assert (
            answer.json() | {"total": 10, "selected": 1, "already_delivered": 1, "to_replay": 1}
            == answer.json()
        )
        answer = await api.post("/replays", json=asked)
        assert answer.status_code == 201, answer.text
        id = answer.json()["id"]
        assert answer.json()["request"] == asked
        assert (await ended(node, id)).delivered == 1
        assert [one["id"] for one in (await api.get("/replays")).json()["items"]] == [id]
        shown = (await api.get(f"/replays/{id}")).json()
        assert (shown["state"], shown["delivered"], shown["filtered"]) == ("done", 1, 9)
        for what in ("stop", "resume"):
            assert (await api.post(f"/replays/{id}/{what}", json={})).json()["state"] == "done"
        assert (await api.delete(f"/replays/{id}")).status_code == 204
        assert "no replay" in problem(await api.get(f"/replays/{id}"), 404)
        trail = [one.action for one in await node.stores.ledger.audit_records(f"job/{id}")]
        assert trail == ["replay forget", "replay begin"]


@pytest.mark.parametrize(
    ("asked", "status", "said"),
    [
        ({"flow": "g"}, 404, "there is no flow 'g'"),
        ({"flow": "f", "rate": "fast"}, 400, "invalid rate 'fast'"),
        ({"flow": "f", "select": {"when": {"type": "x"}}}, 400, "type"),
        ({"flow": "f", "select": {"from": "2026-03-01T12:00:00"}}, 400, "time zone"),
        (
            {"flow": "f", "select": {"offsets": [{"partition": 0, "start": 3, "end": 3}]}},
            400,
            "0:100",
        ),
        ({"flow": "f", "selection": {}}, 400, "selection"),
        ({"flow": "f", "into": "out/"}, 400, "'out/' is not the name of a file"),
        ({"flow": "f", "into": "/tmp/x.jsonl"}, 400, "is not the name of a file"),
        ({"flow": "f"}, 400, "nothing to replay"),
    ],
)
async def test_what_cannot_be_asked(
    target: HttpTarget, tmp_path: Path, asked: dict[str, Any], status: int, said: str
) -> None:
    async with running(shop(target), tmp_path) as node, api_of(node) as api:
        assert said in problem(await api.post("/replays", json=asked), status)
