"""The smtp sink against a real mail server that replies as told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest

from busway.clock import derived_id
from busway.errors import SinkError
from busway.event import Event
from busway.outcome import BLOCKED_BY_KEY, DELIVERED, Down, Outcome, Rejected, Retry
from busway.ports import Destination, LoadItem
from busway.settings import env
from busway.sinks import smtp
from sink_load import KeptEvents, again, an_item, fresh
from smtp_target import LOGIN, OK, SmtpTarget, smtp_target

TO = "ops@shop.example"


@pytest.fixture
async def target(tmp_path: Path) -> AsyncIterator[SmtpTarget]:
    async with smtp_target(tmp_path) as (running, _):
        yield running


@asynccontextmanager
async def opened(target: SmtpTarget, **options: Any) -> AsyncIterator[Destination]:
    given: dict[str, Any] = {"tls": "none", "to": TO, "port": target.port, "timeout": "60s"}
    given |= {"sender": "Busway <busway@shop.example>", **options}
    destination = await smtp("localhost", **given).open(KeptEvents())
    try:
        yield destination
    finally:
        await destination.close()


async def write(target: SmtpTarget, *items: LoadItem, **options: Any) -> Sequence[Outcome]:
    async with opened(target, **options) as destination:
        return await destination.write(fresh(items))


def mailed(offset: int, *results: object, key: str | None = None) -> LoadItem:
    event = Event(type="order.created", source="/s", id=f"e{offset}", subject="s", partitionkey=key)
    return an_item(offset, *results, event=event)


async def test_a_result_becomes_a_mail(target: SmtpTarget) -> None:
    item = mailed(0, {"id": 7, "customer": {"name": "Jörg <Ä>"}, "total": 9.5})
    outcomes = await write(
        target,
        item,
        subject="Order {data[id]} of {data[customer][name]}",
        text="{data[total]:.2f} {{€}} for {id} of {flow}\n.\nend",
        html="<b>{data[customer][name]}</b>",
    )
    assert outcomes == [DELIVERED]
    (mail,) = target.mails
    assert (mail.sender, mail.to, mail.encrypted) == ("busway@shop.example", (TO,), False)
    message = mail.message
    assert message["Subject"] == "Order 7 of Jörg <Ä>"
    assert message["From"] == "Busway <busway@shop.example>"
    assert message["To"] == TO
    key = derived_id("orders", "/s\0e0", 0)
    assert message["Message-ID"] == f"<{key}@shop.example>"
    assert message["Date"].datetime is not None
    assert message["Auto-Submitted"] == "auto-generated"
    assert mail.text.splitlines() == ["9.50 {€} for e0 of orders", ".", "end"]
    html = message.get_body(("html",))
    assert html is not None
    assert html.get_content().strip() == "<b>Jörg &lt;Ä&gt;</b>"


async def test_an_event_and_functions(target: SmtpTarget) -> None:
    event = Event(type="made", source="/s", id="x", subject="a subject", data={"text": "hello"})
    items = [an_item(0, event), an_item(1, {"n": 1})]
    assert await write(target, *items, subject=lambda result: type(result).__name__, text=repr) == [
        DELIVERED,
        DELIVERED,
    ]
    assert [mail.message["Subject"] for mail in target.mails] == ["Event", "dict"]
    assert await write(target, items[0], text="{type} {subject}: {data[text]}") == [DELIVERED]
    assert target.mails[-1].text == "made a subject: hello\r\n"
    assert target.mails[-1].message["Subject"] == "made a subject"
    assert await write(target, items[1]) == [DELIVERED]
    assert target.mails[-1].text == '{\r\n  "n": 1\r\n}\r\n', "without a text it is the data"


async def test_twice_is_the_same_message(target: SmtpTarget) -> None:
    item = mailed(0, {"n": 1}, {"n": 2})
    assert await write(target, item) == await write(target, item) == [DELIVERED]
    ids = [mail.message["Message-ID"] for mail in target.mails]
    assert ids[:2] == ids[2:]
    assert ids[0] != ids[1]


@pytest.mark.parametrize("tls", ["starttls", "tls"])
async def test_encrypted_and_logged_in(tls: str, tmp_path: Path) -> None:
    async with smtp_target(tmp_path, tls, login=True) as (target, ca):
        secret = {"username": LOGIN[0], "password": LOGIN[1]}
        assert await write(target, mailed(0, {}), tls=tls, ca=str(ca), **secret) == [DELIVERED]
        (mail,) = target.mails
        assert mail.encrypted
        assert mail.login == LOGIN[0]

        wrong = {"username": LOGIN[0], "password": "wrong"}
        (down,) = await write(target, mailed(0, {}), tls=tls, ca=str(ca), **wrong)
        assert isinstance(down, Down)
        assert "rejects the username or the password: 535" in down.reason
        assert "wrong" not in down.reason

        (down,) = await write(target, mailed(0, {}), tls=tls, **secret)
        assert isinstance(down, Down)
        assert "certificate" in down.reason
        assert len(target.mails) == 1


async def test_a_server_that_cannot_encrypt_gets_nothing(target: SmtpTarget) -> None:
    (down,) = await write(target, mailed(0, {}), tls="starttls")
    assert isinstance(down, Down)
    assert "STARTTLS" in down.reason
    assert target.mails == []


@pytest.mark.parametrize(
    ("reply", "wanted"),
    [
        ("450 greylisted", Retry("smtp 450", "greylisted")),
        ("550 spam", Rejected("smtp 550", "spam")),
        ("421 too busy", Down("smtp 421: too busy", reachable=True)),
    ],
)
@pytest.mark.parametrize("stage", ["on_sender", "on_data"])
async def test_replies(target: SmtpTarget, reply: str, wanted: Outcome, stage: str) -> None:
    replies = iter([reply])
    setattr(target, stage, lambda *_: next(replies, OK))
    outcomes = await write(target, mailed(0, {}), mailed(1, {}))
    if isinstance(wanted, Down):
        assert outcomes == [wanted, wanted], "the rest is not tried"
        assert target.mails == []
    else:
        assert outcomes == [wanted, DELIVERED]
        assert len(target.mails) == 1
    assert target.connections == 1


async def test_a_server_that_closes_after_some_messages_is_called_again(
    target: SmtpTarget,
) -> None:
    replies = iter([OK, "421 enough", OK, "drop", OK])
    target.on_sender = lambda _: next(replies, OK)
    outcomes = await write(target, *(mailed(n, {}) for n in range(3)))
    assert outcomes == [DELIVERED] * 3
    assert target.connections == 3


async def test_a_server_that_hangs_up_is_down(target: SmtpTarget) -> None:
    target.on_data = lambda: "drop"
    (down,) = await write(target, mailed(0, {}))
    assert isinstance(down, Down)
    assert down.reachable


async def test_no_server_is_down(target: SmtpTarget) -> None:
    await target.stop()
    async with opened(target) as destination:
        (down,) = await destination.write(fresh([mailed(0, {})]))
        assert isinstance(down, Down)
        assert not down.reachable
        assert "cannot be reached" in down.reason
        await target.start()
        assert await destination.write(fresh([mailed(0, {})])) == [DELIVERED]


async def test_recipients_that_are_refused_for_now_get_it_later_and_the_others_not_again(
    target: SmtpTarget,
) -> None:
    to = ["a@shop.example", "b@shop.example", "c@shop.example"]
    full = {"b@shop.example": "452 full"}
    target.on_recipient = lambda address: full.get(address, OK)
    async with opened(target, to=to) as destination:
        (outcome,) = await destination.write(fresh([mailed(0, {})]))
        assert isinstance(outcome, Retry)
        assert outcome.error == "smtp 452"
        assert "b@shop.example: 452 full; accepted for a@shop.example, c@shop.example" in (
            outcome.reason
        )
        full.clear()
        assert await destination.write(again([mailed(0, {})])) == [DELIVERED]
    assert [mail.to for mail in target.mails] == [(to[0], to[2]), (to[1],)]
    assert len({mail.message["Message-ID"] for mail in target.mails}) == 1


async def test_a_recipient_that_does_not_exist_is_told_and_the_others_get_it(
    target: SmtpTarget,
) -> None:
    target.on_recipient = lambda address: OK if address == TO else "550 no such user"
    (outcome,) = await write(target, mailed(0, {}), to=[TO, "nobody@shop.example"])
    assert outcome == Rejected(
        "smtp 550", f"nobody@shop.example: 550 no such user; accepted for {TO}"
    )
    assert [mail.to for mail in target.mails] == [(TO,)]
    assert await write(target, mailed(1, {}), to="x@shop.example") == [
        Rejected("smtp 550", "x@shop.example: 550 no such user")
    ]


async def test_in_order_by_key_nothing_goes_after_what_failed(target: SmtpTarget) -> None:
    replies = iter(["450 later"])
    target.on_data = lambda: next(replies, OK)
    items = [mailed(0, {"n": 0}, key="a"), mailed(1, {"n": 1}, key="b"), mailed(2, {}, key="a")]
    async with opened(target) as destination:
        load = msgspec.structs.replace(fresh(items), ordered=True)
        outcomes = await destination.write(load)
    assert outcomes == [Retry("smtp 450", "later"), DELIVERED, BLOCKED_BY_KEY]


@pytest.mark.parametrize(
    "evil",
    [
        "x\r\nBcc: victim@else.example",
        "x\nX-Evil: 1",
        "x\r\n\r\nbody",
        "x\x00y",
        "x\u2028Bcc: victim@else.example",
        "=?utf-8?q?x=0D=0ABcc=3A_victim=40else.example?=",
    ],
)
async def test_no_header_can_be_smuggled_in(target: SmtpTarget, evil: str) -> None:
    item = mailed(0, {"evil": evil})
    assert await write(target, item, subject="{data[evil]}", text="{data[evil]}") == [DELIVERED]
    (mail,) = target.mails
    head = mail.content.replace(b"\r\n", b"\n").partition(b"\n\n")[0].lower()
    names = {line.partition(b":")[0] for line in head.split(b"\n") if not line.startswith(b" ")}
    assert not names & {b"bcc", b"x-evil"}
    assert mail.to == (TO,)
    (outcome,) = await write(target, item, to="{data[evil]}@shop.example")
    assert isinstance(outcome, Rejected)
    await write(target, item, to="{data[evil]} <ops@shop.example>")
    for mail in target.mails:
        head = mail.content.replace(b"\r\n", b"\n").partition(b"\n\n")[0].lower()
        assert b"\nbcc:" not in head


@pytest.mark.parametrize(
    "address",
    [
        "a@b.example, c@d.example",
        "a@b.example>\r\nRCPT TO:<c@d.example",
        "nobody",
        "@",
        "",
        "ä@b.c",
    ],
)
async def test_a_recipient_from_data_is_one_address(target: SmtpTarget, address: str) -> None:
    items = [mailed(0, {"email": address}), mailed(1, {"email": "Ada <ada@shop.example>"})]
    rejected, delivered = await write(target, *items, to="{data[email]}")
    assert isinstance(rejected, Rejected)
    assert "is not a valid e-mail address" in rejected.reason
    assert delivered == DELIVERED
    assert [mail.to for mail in target.mails] == [("ada@shop.example",)]


async def test_what_the_event_lacks_rejects_it(target: SmtpTarget) -> None:
    outcomes = await write(target, mailed(0, {}), mailed(1, {"a": [1]}), text="{data[a][0]}")
    assert outcomes == [Rejected("template", "the event has no data[a]"), DELIVERED]
    (raised,) = await write(target, mailed(0, {}), text=lambda result: result["x"])
    assert raised == Rejected("template", "the function raised KeyError: 'x'")
    (wrong,) = await write(target, mailed(0, {}), text=lambda result: 5)
    assert wrong == Rejected("template", "the function returned int, not a text")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"to": "nobody"}, "give an address like"),
        ({"to": []}, "give an address, or a list"),
        ({"sender": "x"}, "give an address like"),
        ({"port": 0}, "give a whole number"),
        ({"username": "x"}, "give both"),
        ({"timeout": "soon"}, "timeout"),
        ({"text": "{data.__class__}"}, "there is no {data.__class__}"),
        ({"text": "{event}"}, "there is no {event}"),
        ({"text": "{data!r}"}, "there is no {data}"),
        ({"text": "{data[x]:{data}}"}, "there is no {data[x]}"),
        ({"text": "{"}, "write {{ for a brace"),
        ({"tls": "tls", "ca": "no-such-file.pem"}, "it holds no certificates"),
    ],
)
async def test_what_can_never_work_is_told_when_it_is_opened(
    target: SmtpTarget, options: dict[str, Any], text: str
) -> None:
    with pytest.raises(SinkError, match=r"^smtp\(") as caught:
        await write(target, mailed(0, {}), **options)
    assert text in str(caught.value)


async def test_variables_and_names(target: SmtpTarget, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAIL_HOST", "localhost")
    monkeypatch.setenv("MAIL_TO", "a@shop.example, Bea <b@shop.example>")
    sink = smtp(
        env("MAIL_HOST"), sender="x@y.example", to=env("MAIL_TO"), tls="none", port=target.port
    )
    assert sink.name == "smtp $MAIL_HOST to $MAIL_TO"
    destination = await sink.open(KeptEvents())
    assert await destination.write(fresh([mailed(0, {})])) == [DELIVERED]
    assert target.mails[0].to == ("a@shop.example", "b@shop.example")
    assert target.mails[0].message["To"] == "a@shop.example, Bea <b@shop.example>"
    assert hash(sink) == hash(sink)


@pytest.mark.parametrize(("tls", "port"), [("starttls", 587), ("tls", 465), ("none", 25)])
def test_the_port_is_that_of_how_it_is_encrypted(
    tls: Literal["starttls", "tls", "none"], port: int
) -> None:
    assert smtp("h", sender="a@b.c", to="a@b.c", tls=tls).mail_server().port == port
