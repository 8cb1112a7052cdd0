"""A request of the API, and what its answer means."""

from __future__ import annotations

from collections.abc import Mapping

import httpx
import msgspec

from busway.errors import BuswayError

PREFIX = "/api/v1"
TIMEOUT = httpx.Timeout(60.0, connect=5.0)


class Unreachable(BuswayError):
    """There is no server at the address."""


class Refused(BuswayError):
    """The API refused a request; ``status`` is the HTTP status."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


class Ask(msgspec.Struct, frozen=True):
    """One request: ``path`` is below ``/api/v1``; a ``patient`` one waits however long it takes."""

    method: str
    path: str
    params: Mapping[str, str | list[str]] = {}
    body: bytes | None = None
    headers: Mapping[str, str] = {}
    patient: bool = False


def as_bytes(headers: Mapping[str, str]) -> dict[bytes, bytes]:
    """Return headers for httpx, which by itself takes no more than ASCII."""
    return {name.encode(): value.encode("utf-8", "replace") for name, value in headers.items()}


def made(http: httpx.Client | httpx.AsyncClient, url: str, request: Ask) -> httpx.Request:
    """Return a request for httpx."""
    headers = dict(request.headers)
    if request.method != "GET":
        headers["content-type"] = "application/json"
    timeout = httpx.Timeout(TIMEOUT.connect, read=None) if request.patient else TIMEOUT
    return http.build_request(
        request.method,
        url + PREFIX + request.path,
        params=dict(request.params),
        content=request.body,
        headers=headers,
        timeout=timeout,
    )


def check(answer: httpx.Response) -> httpx.Response:
    """Return an answer that is not a refusal; raises :class:`Refused`."""
    if answer.status_code < 400:
        return answer
    try:
        detail = str(msgspec.json.decode(answer.content)["detail"])
    except (msgspec.MsgspecError, TypeError, KeyError):
        detail = f"{answer.url} answers {answer.status_code}, and not as Busway does"
    raise Refused(answer.status_code, detail)
