"""A request of the API, and what its answer means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from busway.cli.failure import Refused

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


def check(answer: httpx2.Response) -> httpx2.Response:
    """Return an answer that is not a refusal; raises :class:`Refused`."""
    if answer.status_code < 400:
        return answer
    try:
        detail = str(msgspec.json.decode(answer.content)["detail"])
    except (msgspec.MsgspecError, TypeError, KeyError):
        detail = f"{answer.url} answers {answer.status_code}, and not as Busway does"
    raise Refused(answer.status_code, detail)
