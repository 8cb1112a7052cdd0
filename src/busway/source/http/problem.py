"""Refusals: what was wrong with a request, as an RFC 9457 problem document."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

SHOWN_FAULTS = 100
"""How many bad events a problem document lists; ``more`` counts the others."""

COUNTED_FAULTS = 10_000
"""How many bad events of a request are looked at; then it is bad enough."""

_encode = msgspec.json.Encoder().encode


class Fault(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is wrong with one event; ``index`` counts from 0, ``line`` (NDJSON only) from 1."""

    index: int
    reason: str
    line: int | None = None


class Refusal(msgspec.Struct, frozen=True):
    """Why a request is refused: nothing of it is stored.

    ``kind`` names the problem for programs and does not change; ``closes`` says that the
    connection cannot go on after it.
    """

    status: int
    kind: str
    title: str
    detail: str
    faults: tuple[Fault, ...] = ()
    more: int = 0
    headers: tuple[tuple[str, str], ...] = ()
    closes: bool = False

    def document(self) -> bytes:
        """Return the problem document."""
        shown: dict[str, Any] = {
            "type": f"urn:busway:problem:{self.kind}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }
        if self.faults:
            shown["errors"] = self.faults
        if self.more:
            shown["more"] = self.more
        return _encode(shown)


def invalid(faults: Sequence[Fault], of: int) -> Refusal:
    """Refuse events that are not valid; ``of`` is how many there were in the request."""
    count = len(faults)
    least = "at least " if count == COUNTED_FAULTS else ""
    detail = f"{least}{count} of {of} event{'s' * (of != 1)} cannot be taken; none was stored"
    shown, more = tuple(faults[:SHOWN_FAULTS]), max(0, count - SHOWN_FAULTS)
    return Refusal(400, "invalid-events", "Invalid events", detail, shown, more)


def malformed(detail: str) -> Refusal:
    """Refuse a body that cannot be read at all."""
    return Refusal(400, "malformed-body", "Malformed body", detail)


def bad_request(detail: str) -> Refusal:
    """Refuse what is not HTTP as RFC 9112 has it; the connection is of no use after it."""
    return Refusal(400, "malformed-request", "Malformed request", detail, closes=True)


def body_too_large(limit: int, what: str = "the body") -> Refusal:
    """Refuse a body over the limit, in bytes."""
    detail = f"{what} is over {limit} bytes; send fewer events in a request"
    return Refusal(413, "body-too-large", "Body too large", detail, closes=True)


def events_too_large(limit: int, faults: Sequence[Fault]) -> Refusal:
    """Refuse events that are over the limit, in bytes."""
    shown, more = tuple(faults[:SHOWN_FAULTS]), max(0, len(faults) - SHOWN_FAULTS)
    detail = f"{len(faults)} of the events are over {limit} bytes; none was stored"
    return Refusal(413, "event-too-large", "Event too large", detail, shown, more)


def unsupported(detail: str, *headers: tuple[str, str]) -> Refusal:
    """Refuse a media type or a content coding that is not understood."""
    return Refusal(415, "unsupported-media", "Unsupported media type", detail, headers=headers)


def not_found(path: str) -> Refusal:
    detail = f"there is nothing at {path[:200]!r}; events go to POST /events"
    return Refusal(404, "not-found", "Not found", detail)


def no_events() -> Refusal:
    """Refuse what a process that only delivers has not."""
    detail = (
        "this process delivers, and takes no events: send them, and ask the API, at one that runs"
        " busway serve or busway run; here are /healthz, /readyz and /metrics"
    )
    return Refusal(404, "takes-no-events", "No events here", detail)


def elsewhere(detail: str) -> Refusal:
    """Refuse what is answered at another address of the same server."""
    return Refusal(404, "not-here", "Not here", detail)


def foreign_page() -> Refusal:
    """Refuse what a web page of another origin had a browser send."""
    detail = "a web page of another origin may not send events"
    return Refusal(403, "forbidden", "Forbidden", detail)


def no_key() -> Refusal:
    """Refuse events that come without a key where one is asked for."""
    detail = (
        "events need a key here: send one with the scope intake as Authorization: Bearer …;"
        " busway keys create --scope intake makes one"
    )
    headers = (("www-authenticate", 'Bearer realm="busway"'),)
    return Refusal(401, "unauthorized", "Not authorized", detail, headers=headers)


def not_allowed(method: str, path: str, allow: str) -> Refusal:
    detail = f"{path} takes {allow}, not {method}"
    return Refusal(405, "not-allowed", "Method not allowed", detail, headers=(("allow", allow),))


def store_full(reason: str) -> Refusal:
    return _later(507, "store-full", "No room for more events", reason, 30)


def store_failing(reason: str) -> Refusal:
    return _later(503, "store-failing", "The store cannot be used now", reason, 5)


def timed_out(what: str) -> Refusal:
    detail = f"the {what} of the request took too long to come"
    return Refusal(408, "timeout", "Request timeout", detail, closes=True)


def head_too_large(limit: int) -> Refusal:
    detail = f"the request line and the headers are over {limit} bytes"
    return Refusal(431, "head-too-large", "Head too large", detail, closes=True)


def too_many_headers(limit: int) -> Refusal:
    detail = f"there are more than {limit} headers"
    return Refusal(431, "head-too-large", "Head too large", detail, closes=True)


def failed() -> Refusal:
    detail = "a defect in the server; its log has more"
    return Refusal(500, "internal", "Internal error", detail)


def draining() -> Refusal:
    refusal = _later(503, "draining", "Stopping", "this server is about to stop; send again", 2)
    return msgspec.structs.replace(refusal, closes=True)


def too_busy(what: str) -> Refusal:
    detail = f"too many {what} are in flight; send again later"
    return _later(429, "too-busy", "Too many requests", detail, 1)


def _later(status: int, kind: str, title: str, detail: str, after_s: int) -> Refusal:
    return Refusal(status, kind, title, detail, headers=(("retry-after", str(after_s)),))
