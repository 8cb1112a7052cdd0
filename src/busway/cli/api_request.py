"""Requests of the API, and the errors that it answers with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import quote

import msgspec

from busway.cli.api_error import ProblemError
from busway.errors import NotFound

if TYPE_CHECKING:
    import httpx2

PREFIX = "/api/v1"


class ApiRequest(msgspec.Struct, frozen=True):
    """A request; ``path`` is below ``/api/v1``. One that ``is_slow`` has no time-out."""

    method: str
    path: str
    params: Mapping[str, str | list[str]] = {}
    body: bytes | None = None
    headers: Mapping[str, str] = {}
    is_slow: bool = False


def path_segment(kind: str, name: str) -> str:
    """Return a name as one segment of a path.

    Raises :class:`NotFound` for a name that would lead to another path, which nothing can have:
    HTTP clients and proxies remove the segments ``.`` and ``..``, even escaped.

    >>> path_segment("flow", "a?b c")
    'a%3Fb%20c'
    """
    if name in ("", ".", "..") or "/" in name:
        raise NotFound(f"there is no {kind} {name!r}")
    return quote(name, safe="")


def raise_for_problem(answer: httpx2.Response) -> httpx2.Response:
    """Return an answer without an error status; raises :class:`ProblemError` otherwise."""
    if answer.status_code < 400:
        return answer
    try:
        detail = str(msgspec.json.decode(answer.content)["detail"])
    except (msgspec.MsgspecError, TypeError, KeyError):
        detail = f"{answer.url} answers {answer.status_code}, but not like Busway"
    raise ProblemError(answer.status_code, detail)
