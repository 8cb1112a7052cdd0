"""The chat sink: what a chat's incoming webhook is sent."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
import pytest

from busway.errors import SinkError
from busway.event import Event
from busway.outcome import DELIVERED, Down, Gone, Outcome, Rejected
from busway.ports import LoadItem
from busway.settings import env
from busway.sinks import chat
from http_target import Answer, HttpTarget, http_target
from sink_load import KeptEvents, an_item, fresh


@pytest.fixture
async def target() -> AsyncIterator[HttpTarget]:
    async with http_target() as running:
        yield running


async def write(target: HttpTarget, *items: LoadItem, **options: Any) -> Sequence[Outcome]:
    given: dict[str, Any] = {"text": "{data[text]}"} | options
    destination = await chat(target.url, **given).open(KeptEvents())
    try:
        return await destination.write(fresh(items))
    finally:
        await destination.close()


def said(target: HttpTarget) -> list[Any]:
    return [msgspec.json.decode(call.body) for call in target.calls]


def alert(offset: int, text: str) -> LoadItem:
    return an_item(offset, Event(type="a", source="/s", id=f"e{offset}", data={"text": text}))


async def test_slack_and_mattermost_take_a_text(target: HttpTarget) -> None:
    assert await write(target, alert(0, "all is well")) == [DELIVERED]
    assert await write(target, alert(0, "all is well"), kind="mattermost") == [DELIVERED]
    assert said(target) == [{"text": "all is well"}] * 2
    assert {call.headers["content-type"] for call in target.calls} == {"application/json"}
    assert target.calls[0].key == target.calls[1].key != ""


async def test_discord_takes_content(target: HttpTarget) -> None:
    assert await write(target, alert(0, "x" * 3000), kind="discord") == [DELIVERED]
    (message,) = said(target)
    assert message["content"] == "x" * 1999 + "…"
    assert message["allowed_mentions"] == {"parse": []}


async def test_teams_takes_a_card(target: HttpTarget) -> None:
    assert await write(target, alert(0, "hello"), kind="teams") == [DELIVERED]
    (message,) = said(target)
    assert message["type"] == "message"
    (card,) = message["attachments"]
    assert card["contentType"] == "application/vnd.microsoft.card.adaptive"
    assert card["content"]["body"] == [{"type": "TextBlock", "text": "hello", "wrap": True}]


@pytest.mark.parametrize("kind", ["slack", "mattermost", "discord", "teams"])
async def test_data_calls_nobody(target: HttpTarget, kind: str) -> None:
    item = alert(0, "<!channel> & @all, <!here> <@U1> <!subteam^S1> [bank](https://evil.example)")
    assert await write(target, item, kind=kind, text="@ops: {data[text]}") == [DELIVERED]
    (message,) = said(target)
    sent = msgspec.json.encode(message).decode()
    assert "@ops: " in sent
    assert not re.search(r"<[!@#]|@all|\]\(", sent)


async def test_each_result_is_a_message_and_a_bad_one_is_alone(target: HttpTarget) -> None:
    items = [an_item(0, {"text": "a"}, {"text": "b"}), an_item(1, {}), alert(2, "c")]
    outcomes = await write(target, *items)
    assert outcomes == [DELIVERED, Rejected("template", "the event has no data[text]"), DELIVERED]
    assert sorted(message["text"] for message in said(target)) == ["a", "b", "c"]


async def test_a_function_says_it(target: HttpTarget) -> None:
    assert await write(target, alert(0, "x"), text=lambda result: result.id) == [DELIVERED]
    assert said(target) == [{"text": "e0"}]


async def test_a_channel_that_is_archived_is_gone(target: HttpTarget) -> None:
    target.decide = lambda call: Answer(410, body=b"channel_is_archived")
    (outcome,) = await write(target, alert(0, "x"))
    assert isinstance(outcome, Gone)


async def test_the_url_is_a_secret(target: HttpTarget) -> None:
    url = "https://hooks.example/services/T0/B0/secret"
    one, other = chat(url, "x"), chat(url + "2", "x")
    assert "secret" not in one.name + one.result_location().place
    assert one.name.startswith("chat slack hooks.example #")
    assert one.name != other.name
    assert chat(env("CHAT_URL"), "x").name == "chat slack $CHAT_URL"
    await target.stop()
    (down,) = await write(target, alert(0, "x"))
    assert isinstance(down, Down)
    assert "127.0.0.1 #" in down.reason
    assert "/orders" not in down.reason


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"text": "{data.text}"}, "there is no {data.text}"),
        ({"timeout": 0}, "give a time like"),
    ],
)
async def test_what_can_never_work_is_told_when_it_is_opened(
    target: HttpTarget, options: dict[str, Any], text: str
) -> None:
    with pytest.raises(SinkError, match=r"^chat\(") as caught:
        await write(target, alert(0, "x"), **options)
    assert text in str(caught.value)
    with pytest.raises(SinkError, match=r"give the URL of an incoming webhook"):
        await chat("hooks.example", "x").open(KeptEvents())
