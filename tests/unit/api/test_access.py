"""Who may call the API."""

from __future__ import annotations

from typing import Any

import pytest

from busway.api.access import ApiAccess, ApiCaller, authorize, require_access
from busway.api.problem import Problem

TOKEN = "correct-horse-7Qz2mVb4x"
GUARDED = ApiAccess(TOKEN)
OPEN = ApiAccess(open=True)
RIGHT = f"Bearer {TOKEN}"


def caller(**given: str | None) -> ApiCaller:
    """Return a caller from this machine that only reads."""
    members: dict[str, str | None] = {
        "method": "GET",
        "peer": "127.0.0.1",
        "host": "127.0.0.1:8400",
    }
    return ApiCaller(**(members | given))  # type: ignore[arg-type]


def refusal(found: ApiCaller, access: ApiAccess) -> Problem | None:
    told = authorize(found, access)
    return None if isinstance(told, str) else told


def status(found: ApiCaller, access: ApiAccess = OPEN) -> int | None:
    told = refusal(found, access)
    return None if told is None else told.status


@pytest.mark.parametrize(
    "given", ["", TOKEN, f"Basic {TOKEN}", "Bearer", "Bearer correct", "Bearer ä", f"{RIGHT} x"]
)
@pytest.mark.parametrize("access", [GUARDED, ApiAccess()])
def test_everybody_has_to_bring_the_token_also_from_this_machine(
    given: str, access: ApiAccess
) -> None:
    told = refusal(caller(authorization=given), access)
    assert told is not None
    assert told.status == 401
    assert "BUSWAY_API_TOKEN" in told.detail
    assert "api-token" in told.detail
    assert TOKEN not in told.detail


@pytest.mark.parametrize("given", [RIGHT, f"bearer  {TOKEN}"])
def test_who_brings_the_token_may_call_from_anywhere(given: str) -> None:
    away = caller(authorization=given, peer="10.0.0.7", host="shop.example")
    assert status(away, GUARDED) is None


@pytest.mark.parametrize("given", ["Bearer ", "Bearer", ""])
def test_without_a_token_there_is_nobody_to_let_in(given: str) -> None:
    assert status(caller(authorization=given), ApiAccess()) == 401


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
def test_when_it_is_open_this_machine_may_call(peer: str) -> None:
    assert status(caller(peer=peer)) is None


@pytest.mark.parametrize("peer", ["10.0.0.7", "::ffff:10.0.0.7", "fe80::1", "", None])
def test_when_it_is_open_nobody_else_may(peer: str | None) -> None:
    assert status(caller(peer=peer)) == 403


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:8400", "", None]
)
def test_when_it_is_open_a_name_that_was_bound_to_this_address_is_refused(host: str | None) -> None:
    assert status(caller(host=host)) == 403


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
@pytest.mark.parametrize(
    "page",
    [
        {"fetch_site": "cross-site"},
        {"fetch_site": "same-site"},
        {"origin": "http://evil.example"},
        {"origin": "null"},
    ],
)
def test_a_page_of_another_origin_neither_reads_nor_changes(
    method: str, page: dict[str, str]
) -> None:
    asking = caller(method=method, authorization=RIGHT, content_type="application/json", **page)
    assert [status(asking, access) for access in (GUARDED, OPEN)] == [403, 403]


def test_a_page_of_its_own_may_call() -> None:
    page = {"fetch_site": "same-origin", "origin": "http://127.0.0.1:8400"}
    assert status(caller(authorization=RIGHT, **page), GUARDED) is None


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
@pytest.mark.parametrize(
    "kind", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "json"]
)
def test_a_change_that_a_web_page_could_send_is_refused(method: str, kind: str) -> None:
    assert status(caller(method=method, content_type=kind)) == 415


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=utf-8"])
def test_a_change_is_sent_as_json(kind: str) -> None:
    assert status(caller(method="POST", content_type=kind)) is None


class OneKey:
    """Knows one key, which may call the API."""

    def named(self, secret: str, scope: str) -> str | None:
        return "ann" if (secret, scope) == ("busway_key", "admin") else None


def test_the_name_of_a_caller_comes_from_its_credential() -> None:
    access = ApiAccess(TOKEN, keys=OneKey())
    names = [
        authorize(caller(authorization=given), one)
        for given, one in ((RIGHT, access), ("Bearer busway_key", access), ("", OPEN))
    ]
    assert names == ["api-token", "ann", "anybody"]
    assert status(caller(authorization="Bearer busway_other"), access) == 401


class Impatient:
    """A watch that holds no more answers back: who calls is to come later."""

    def count(self, part: str, reason: str, peer: str) -> float:
        return 0.25

    async def hold(self, peer: str, delay_s: float) -> int:
        return 1


async def test_a_caller_is_told_when_to_come_again() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope: Any = {
        "type": "http",
        "method": "GET",
        "path": "/api/v1/status",
        "client": ("127.0.0.1", 1),
        "headers": [(b"authorization", b"Bearer wrong")],
    }
    access: Any = ApiAccess(TOKEN, watch=Impatient())
    app: Any = None
    await require_access(app, access)(scope, app, send)
    begin, body = sent
    assert (begin["status"], dict(begin["headers"])[b"retry-after"]) == (429, b"1")
    assert b"try again in 1 s" in body["body"]
