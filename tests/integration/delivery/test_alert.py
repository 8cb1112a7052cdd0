"""Alerts of a node that runs: told on the bus, taken to people, and cleared."""

from __future__ import annotations

import itertools
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from standardwebhooks.webhooks import Webhook

from api_client import api_of, problem
from busway import App, Event, Reject
from busway.alerts import (
    backlog_age,
    backlog_size,
    breaker_open,
    dead_letters,
    disk_free,
    error_ratio,
    log_size,
    parked,
    silence,
)
from busway.control.alert.record import AlertStatus, alert_statuses
from busway.control.context import ControlContext
from busway.control.dead_letter.command import DeadLetterCommand, apply_command
from busway.flow import compile_app
from busway.sinks import chat, http, jsonl, smtp
from delivery_node import QUICK, Running, Shifted, event, running, until
from http_target import Answer, Call, HttpTarget, http_target
from smtp_target import SmtpTarget, smtp_target

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
RAISED = {"type": ["busway.alert.raised"]}
TOLD = {"type": [{"prefix": "busway.alert."}]}
MADE = {"type": ["made"]}
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
async def target() -> AsyncIterator[HttpTarget]:
    async with http_target() as found:
        yield found


@pytest.fixture
async def mail(tmp_path: Path) -> AsyncIterator[SmtpTarget]:
    async with smtp_target(tmp_path) as (found, _):
        yield found


def told_in(file: Path) -> list[dict[str, Any]]:
    """Return the events of alerts that a flow has written."""
    lines = file.read_bytes().splitlines() if file.exists() else []
    return [msgspec.json.decode(line) for line in lines]


def kinds(file: Path) -> list[tuple[str, str]]:
    return [(one["type"].rpartition(".")[2], one["subject"]) for one in told_in(file)]


async def alert(busway: Running, name: str) -> AlertStatus | None:
    found = await alert_statuses(busway.stores.ledger)
    return next((one for one in found if one.name == name), None)


def an_app(folder: Path, to: object = None, **options: Any) -> App:
    """An app with a flow of orders, and one that writes down what alerts tell."""
    app = App("t")
    app.flow("orders", when=MADE, to=to or jsonl(str(folder / "orders.jsonl")), **options)
    app.flow("told", when=TOLD, to=jsonl(str(folder / "told.jsonl")))
    return app


class Mended:
    """A step that refuses events until it is mended."""

    def __init__(self) -> None:
        self.broken = True

    def __call__(self, event: Event) -> dict[str, Any]:
        if self.broken:
            raise Reject("it is broken")
        return {"n": event.data["n"]}


def posts(target: HttpTarget, path: str) -> list[Call]:
    return [call for call in target.calls if call.path == path]


async def test_dead_letters_raise_an_alert_that_people_hear_of_once(
    tmp_path: Path, target: HttpTarget, mail: SmtpTarget
) -> None:
    step, base = Mended(), target.url.removesuffix("/orders")

    def app() -> App:
        found = an_app(tmp_path, steps=[step])
        found.alert("orders fail", dead_letters(flow="orders", above=0))
        letter = smtp(
            "localhost",
            port=mail.port,
            tls="none",
            sender="busway@shop.example",
            to="ops@shop.example",
            subject="{data[state]}: {subject}",
            text="{data[text]}",
        )
        found.flow("mail", when=TOLD, to=letter)
        found.flow("hook", when=TOLD, to=http(f"{base}/hook", sign=SECRET))
        found.flow("chat", when=RAISED, to=chat(f"{base}/chat", "{data[text]}"))
        return found

    async with running(app(), tmp_path / "data") as busway:
        await busway.post(event(1))
        await busway.until("mail", delivered=1)
        await busway.until("hook", delivered=1)
        await busway.until("chat", delivered=1)
        (letter,) = mail.mails
        assert letter.message["Subject"] == "raised: orders fail"
        text = (
            "RAISED orders fail: 1 dead letter of flow 'orders' (raised above 0);"
            " root cause: Reject in test_alert.py:__call__: it is broken"
        )
        assert letter.text.strip() == text
        (hook,) = posts(target, "/hook")
        assert Webhook(SECRET).verify(hook.body, hook.headers)["data"]["text"] == text
        (said,) = posts(target, "/chat")
        assert msgspec.json.decode(said.body) == {"text": text}

    async with running(app(), tmp_path / "data") as busway:
        found = await alert(busway, "orders fail")
        assert found is not None
        assert found.state == "raised"
        await busway.post(event(2))
        await busway.until("orders", dead=2)
        await until(lambda: _value_is(busway, "orders fail", 2.0))
        assert len(mail.mails) == 1, "it was raised already, also before the restart"

        step.broken = False
        await _redrive_all(busway)
        await busway.until("orders", delivered=2, dead=0)
        await busway.until("mail", delivered=2)
        await busway.until("told", delivered=2)
        assert [one.message["Subject"] for one in mail.mails] == [
            "raised: orders fail",
            "cleared: orders fail",
        ]
        assert mail.mails[1].message["Message-ID"] != mail.mails[0].message["Message-ID"]
        assert mail.mails[1].text.startswith("CLEARED orders fail: 0 dead letters of flow")
        assert kinds(tmp_path / "told.jsonl") == [
            ("raised", "orders fail"),
            ("cleared", "orders fail"),
        ]


async def _value_is(busway: Running, name: str, value: float) -> bool:
    found = await alert(busway, name)
    return found is not None and found.value == value


async def _redrive_all(busway: Running) -> None:
    control = ControlContext(log=busway.stores.log, ledger=busway.stores.ledger)
    letters = await busway.troubles("orders", state="dead")
    await apply_command(control, letters, DeadLetterCommand(action="redrive", actor="test"))


async def test_a_destination_that_is_down_raises_an_alert_until_it_is_back(
    tmp_path: Path, target: HttpTarget
) -> None:
    """What alerts tell waits for a moment too: neither so many events, nor for so long."""
    sink = http(target.url)
    app = an_app(tmp_path, sink)
    app.alert("crm down", breaker_open(destination=sink))
    app.alert("orders wait", backlog_size("orders", above=10), clear_below=0)
    app.alert("orders are late", backlog_age(above="1h"))
    clock = Shifted(NOON)
    async with running(app, tmp_path / "data", clock=clock) as busway:
        await target.stop()
        await busway.post(*map(event, range(20)))
        clock.put(NOON + timedelta(hours=2))
        await busway.until("told", delivered=3)
        found = await alert(busway, "crm down")
        assert found is not None
        assert found.state == "raised"
        assert "cannot be reached" in found.text
        await target.start()
        await busway.until("orders", delivered=20)
        await busway.until("told", delivered=6)
    told = kinds(tmp_path / "told.jsonl")
    for name in ("crm down", "orders wait", "orders are late"):
        assert [kind for kind, of in told if of == name] == ["raised", "cleared"]


async def test_a_destination_that_is_gone_is_told_without_a_declaration(
    tmp_path: Path, target: HttpTarget
) -> None:
    target.decide = lambda call: Answer(410, body=b"no longer here")
    async with running(an_app(tmp_path, http(target.url)), tmp_path / "data") as busway:
        await busway.post(event(1))
        await busway.until("told", delivered=1)
        (told,) = told_in(tmp_path / "told.jsonl")
        assert told["type"] == "busway.alert.raised"
        assert told["subject"] == "gone:orders"
        assert "asks never to be called again" in told["data"]["text"]
        assert "no longer here" in told["data"]["text"]
        assert told["data"]["destination"] == f"http {target.url}"
        found = await alert(busway, "gone:orders")
        assert found is not None
        status = await busway.status("orders")
        assert (status.backlog, status.parked, status.dead) == (status.accepted, 0, 0)


async def test_silence_is_told_and_cleared_by_an_event(tmp_path: Path) -> None:
    app = an_app(tmp_path)
    app.alert("shop is silent", silence("/shop*", after="1s"))
    began = time.monotonic()
    async with running(app, tmp_path / "data") as busway:
        await busway.until("told", delivered=1)
        at_most_s = time.monotonic() - began
        await busway.post(event(1) | {"source": "/elsewhere"})
        numbers = itertools.count(2)

        async def told_of_the_next() -> bool:
            await busway.post(event(next(numbers)) | {"source": "/shop/till"})
            return (await busway.status("told")).delivered > 1

        await until(told_of_the_next)
    assert kinds(tmp_path / "told.jsonl")[:2] == [
        ("raised", "shop is silent"),
        ("cleared", "shop is silent"),
    ]
    raised = told_in(tmp_path / "told.jsonl")[0]["data"]
    assert raised["source"] == "/shop*"
    assert 1 < raised["value"] < at_most_s


async def test_the_disk_and_the_log(tmp_path: Path) -> None:
    app = an_app(tmp_path)
    app.alert("disk", disk_free("100%"))
    app.alert("disk is full", disk_free(below=1))
    app.alert("log", log_size(above=1))
    async with running(app, tmp_path / "data") as busway:
        await busway.until("told", delivered=2)
        assert sorted(kinds(tmp_path / "told.jsonl")) == [("raised", "disk"), ("raised", "log")]
        other = await alert(busway, "disk is full")
        assert other is not None
        assert other.state == "clear"
        assert other.value is not None
        assert other.value > 1


async def test_parked_events_and_the_share_that_fails(tmp_path: Path) -> None:
    def fails(event: Event) -> dict[str, Any]:
        if event.data["n"] % 2:
            raise ValueError("odd")
        return {"n": event.data["n"]}

    app = an_app(tmp_path, steps=[fails], retry=QUICK)
    app.alert("half fails", error_ratio("orders", above=0.4, over="1m"))
    app.alert("few fail", error_ratio("orders", above=0.6, over="1m"))
    app.alert("parked", parked(above=1000))
    async with running(app, tmp_path / "data") as busway:
        await until(lambda: _value_is(busway, "half fails", 0.0))
        await busway.post(*(event(n) for n in range(10)))
        await busway.until("orders", dead=5)
        await busway.until("told", delivered=1)
        (told,) = told_in(tmp_path / "told.jsonl")
        assert told["subject"] == "half fails"
        assert told["data"]["value"] >= 0.4


async def test_an_alert_about_a_flow_that_delivers_alerts_does_not_feed_itself(
    tmp_path: Path, target: HttpTarget
) -> None:
    target.decide = lambda call: Answer(400)
    app = an_app(tmp_path)
    app.flow("hook", when=TOLD, to=http(target.url))
    app.alert("alerts are not told", dead_letters(above=0))
    app.alert("log", log_size(above=1))
    async with running(app, tmp_path / "data") as busway:
        await busway.until("hook", dead=2)
        await until(lambda: _value_is(busway, "alerts are not told", 2.0))
        await busway.until("told", delivered=2)
        assert len(target.calls) == 2


async def test_an_alert_that_is_declared_no_more_is_cleared(tmp_path: Path) -> None:
    app = an_app(tmp_path)
    app.alert("log", log_size(above=1))
    async with running(app, tmp_path / "data") as busway:
        await busway.until("told", delivered=1)
    async with running(an_app(tmp_path), tmp_path / "data") as busway:
        await busway.until("told", delivered=2)
        assert await alert(busway, "log") is None
    assert kinds(tmp_path / "told.jsonl") == [("raised", "log"), ("cleared", "log")]
    assert "the alert is no longer declared" in told_in(tmp_path / "told.jsonl")[1]["data"]["text"]


async def test_other_alerts_of_a_program_that_changed(tmp_path: Path) -> None:
    app, changed = an_app(tmp_path), an_app(tmp_path)
    app.alert("log", log_size(above=1))
    app.alert("disk", disk_free(below=1))
    changed.alert("log", log_size(above="1TB"))
    changed.alert("disk", disk_free("100%"))
    async with running(app, tmp_path / "data") as busway:
        await busway.until("told", delivered=1)
        await busway.node.change_program(compile_app(changed))
        await busway.until("told", delivered=3)
    told = kinds(tmp_path / "told.jsonl")
    assert told[0] == ("raised", "log")
    assert sorted(told[1:]) == [("cleared", "log"), ("raised", "disk")]


async def test_alerts_over_the_api(tmp_path: Path) -> None:
    app = an_app(tmp_path)
    app.alert("the log", log_size(above="1kB"))
    app.alert("a disk", disk_free(below=1))
    async with running(app, tmp_path / "data") as busway, api_of(busway) as api:
        await busway.until("told", delivered=1)
        listed = (await api.get("/alerts")).json()
        assert [(one["name"], one["state"]) for one in listed["items"]] == [
            ("the log", "raised"),
            ("a disk", "clear"),
        ]
        assert listed["next"] is None
        log = listed["items"][0]
        assert (log["condition"], log["unit"], log["threshold"]) == ("log_size", "bytes", 1000.0)
        assert log["since"] is not None
        assert log["value"] > 1000
        first = (await api.get("/alerts", params={"limit": 1})).json()
        rest = (await api.get("/alerts", params={"limit": 1, "cursor": first["next"]})).json()
        assert [one["name"] for one in first["items"] + rest["items"]] == ["the log", "a disk"]
        assert (await api.get("/alerts/the log")).json()["name"] == "the log"
        assert "there is no alert 'x'" in problem(await api.get("/alerts/x"), 404)
