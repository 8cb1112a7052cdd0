"""Who may call the API."""

from __future__ import annotations

import pytest

from busway.api.access import Caller, refusal

TOKEN = "correct horse"


def caller(**given: str | None) -> Caller:
    """Return a caller from this machine that only reads."""
    members: dict[str, str | None] = {
        "method": "GET",
        "peer": "127.0.0.1",
        "host": "127.0.0.1:8400",
        "authorization": "",
        "content_type": "",
    }
    return Caller(**(members | given))  # type: ignore[arg-type]


def status(found: Caller, token: str = "") -> int | None:
    told = refusal(found, token)
    return None if told is None else told.status


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
def test_without_a_token_this_machine_may_call(peer: str) -> None:
    assert status(caller(peer=peer)) is None


@pytest.mark.parametrize("peer", ["10.0.0.7", "::ffff:10.0.0.7", "fe80::1", "", None])
def test_without_a_token_nobody_else_may(peer: str | None) -> None:
    told = refusal(caller(peer=peer), "")
    assert told is not None
    assert told.status == 403
    assert "BUSWAY_API_TOKEN" in told.detail


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:8400", "shop.localhost", "127.0.0.1", "[::1]:8400", "10.0.0.1:8400"],
)
def test_it_answers_under_a_name_of_its_own(host: str) -> None:
    assert status(caller(host=host)) is None


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:8400", "", None]
)
def test_a_name_that_was_bound_to_this_address_is_refused(host: str | None) -> None:
    assert status(caller(host=host)) == 403


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
@pytest.mark.parametrize(
    "kind", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "json"]
)
def test_a_change_that_a_web_page_could_send_is_refused(method: str, kind: str) -> None:
    assert status(caller(method=method, content_type=kind)) == 415


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=utf-8"])
def test_a_change_is_sent_as_json(kind: str) -> None:
    assert status(caller(method="POST", content_type=kind)) is None


@pytest.mark.parametrize(
    "given", ["", TOKEN, f"Basic {TOKEN}", "Bearer", "Bearer correct", "Bearer ä"]
)
def test_with_a_token_everybody_has_to_bring_it(given: str) -> None:
    assert status(caller(authorization=given), TOKEN) == 401


@pytest.mark.parametrize("given", [f"Bearer {TOKEN}", f"bearer  {TOKEN}"])
def test_with_the_token_anybody_may_call_from_anywhere(given: str) -> None:
    away = caller(authorization=given, peer="10.0.0.7", host="shop.example")
    assert status(away, TOKEN) is None
