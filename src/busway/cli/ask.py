"""A request of the API, and what its answer means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import quote

import msgspec

from busway.cli.failure import Refused
from busway.errors import NotFound

if TYPE_CHECKING:
    import httpx2

PREFIX = "/api/v1"


class Ask(msgspec.Struct, frozen=True):
    """One request: ``path`` is below ``/api/v1``; a ``patient`` one waits however long it takes."""

    method: str
    path: str
    params: Mapping[str, str | list[str]] = {}
    body: bytes | None = None
    headers: Mapping[str, str] = {}
    patient: bool = False


def segment(kind: str, name: str) -> str:
    """Return a name as one segment of a path.

    Raises :class:`NotFound` for a name that nothing of this kind can have, and that would lead to
    another path: HTTP clients and proxies take out the segments ``.`` and ``..``, even escaped.

    >>> segment("flow", "a?b c")
    'a%3Fb%20c'
    """
    if name in ("", ".", "..") or "/" in name:
        raise NotFound(f"there is no {kind} {name!r}")
    return quote(name, safe="")


def check(answer: httpx2.Response) -> httpx2.Response:
    """Return an answer that is not a refusal; raises :class:`Refused`."""
    if answer.status_code < 400:
        return answer
    try:
        detail = str(msgspec.json.decode(answer.content)["detail"])
    except (msgspec.MsgspecError, TypeError, KeyError):
        detail = f"{answer.url} answers {answer.status_code}, and not as Busway does"
    raise Refused(answer.status_code, detail)
