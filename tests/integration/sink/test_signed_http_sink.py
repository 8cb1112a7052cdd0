"""Requests signed by Standard Webhooks, verified by another implementation of it."""

from __future__ import annotations

import base64
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from busway.errors import SettingsError, SinkError
from busway.event import Event
from busway.outcome import DELIVERED
from busway.settings import env
from busway.sink.http.signature import make_signer
from busway.sinks import http
from http_target import HttpTarget, http_target
from sink_load import KeptEvents, an_item, fresh

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_" + base64.b64encode(os.urandom(32)).decode()


@pytest.fixture
async def target() -> AsyncIterator[HttpTarget]:
    async with http_target() as running:
        yield running


async def sent(target: HttpTarget, times: int = 1, **options: Any) -> None:
    destination = await http(target.url, **options).open(KeptEvents())
    try:
        event = Event(type="made", source="/s", id="x", data={"text": "grüße"})
        for _ in range(times):
            assert await destination.write(fresh([an_item(0, event)])) == [DELIVERED]
    finally:
        await destination.close()


def test_the_published_vector() -> None:
    signer = make_signer(SECRET)
    assert signer is not None
    at = datetime.fromtimestamp(1614265330, UTC)
    assert signer.headers("msg_p5jXN8AQM9LWM0D4loKWxJek", at, b'{"test": 2432232314}') == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


async def test_a_request_is_signed(target: HttpTarget, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBHOOK_SECRET", SECRET)
    await sent(target, sign=env("WEBHOOK_SECRET"))
    (call,) = target.calls
    assert call.headers["webhook-id"] == call.key != ""
    assert Webhook(SECRET).verify(call.body, call.headers)["data"] == {"text": "grüße"}
    with pytest.raises(WebhookVerificationError):
        Webhook(OTHER).verify(call.body, call.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(call.body + b" ", call.headers)


async def test_with_two_secrets_a_receiver_may_have_either(target: HttpTarget) -> None:
    await sent(target, sign=[OTHER, SECRET])
    (call,) = target.calls
    for secret in (SECRET, OTHER):
        Webhook(secret).verify(call.body, call.headers)


async def test_a_batch_is_signed_as_a_whole(target: HttpTarget) -> None:
    await sent(target, sign=SECRET, batch=10)
    (call,) = target.calls
    assert call.body.startswith(b"[")
    Webhook(SECRET).verify(call.body, call.headers)


async def test_sent_again_it_has_the_same_id(target: HttpTarget) -> None:
    await sent(target, times=2, sign=SECRET)
    first, second = target.calls
    assert first.headers["webhook-id"] == second.headers["webhook-id"]


async def test_without_a_secret_nothing_is_signed(target: HttpTarget) -> None:
    await sent(target)
    assert not [name for name in target.calls[0].headers if name.startswith("webhook-")]


@pytest.mark.parametrize(
    "secret", ["", "whsec_", "whsec_!!!", "whsec_c2hvcnQ=", SECRET.removeprefix("whsec_")]
)
async def test_what_is_no_secret_is_told_without_showing_it(
    target: HttpTarget, secret: str
) -> None:
    with pytest.raises(SinkError, match=r"24 to 64 random bytes in base64") as caught:
        await sent(target, sign=secret)
    assert not secret or secret == "whsec_" or secret not in str(caught.value)


async def test_a_secret_that_is_not_set_is_told(target: HttpTarget) -> None:
    with pytest.raises(SettingsError, match="NO_SUCH_SECRET is not set"):
        await sent(target, sign=[env("NO_SUCH_SECRET")])


def test_equal_ones_are_equal() -> None:
    assert http("http://x/", sign=[SECRET]) == http("http://x/", sign=SECRET)
    assert hash(http("http://x/", sign=[SECRET, env("X")]))
