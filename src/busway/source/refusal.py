"""Refusals of requests, sent as RFC 9457 problem documents."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from busway.ports import EventFault, RequestRefusal

MAX_SHOWN_FAULTS = 100
"""How many faults a problem document lists; ``more`` counts the others."""

MAX_COUNTED_FAULTS = 10_000
"""How many faults of a request are counted before validation stops."""


def invalid_events(faults: Sequence[EventFault], total: int) -> RequestRefusal:
    """Refuse invalid events; ``total`` is the number of events in the request."""
    count = len(faults)
    least = "at least " if count == MAX_COUNTED_FAULTS else ""
    detail = f"{least}{count} of {total} event{'s' * (total != 1)} rejected; none was stored"
    shown, more = tuple(faults[:MAX_SHOWN_FAULTS]), max(0, count - MAX_SHOWN_FAULTS)
    return RequestRefusal(400, "invalid-events", "Invalid events", detail, shown, more)


def malformed_body(detail: str) -> RequestRefusal:
    """Refuse a body that cannot be decoded."""
    return RequestRefusal(400, "malformed-body", "Malformed body", detail)


def bad_request(detail: str) -> RequestRefusal:
    """Refuse a request that violates RFC 9112; its connection cannot be used any more."""
    return RequestRefusal(400, "malformed-request", "Malformed request", detail, closes=True)


def body_too_large(limit: int, what: str = "the body") -> RequestRefusal:
    """Refuse a body over the limit in bytes."""
    detail = f"{what} is over {limit} bytes; send fewer events in a request"
    return RequestRefusal(413, "body-too-large", "Body too large", detail, closes=True)


def events_too_large(limit: int, faults: Sequence[EventFault]) -> RequestRefusal:
    """Refuse events over the limit in bytes."""
    shown, more = tuple(faults[:MAX_SHOWN_FAULTS]), max(0, len(faults) - MAX_SHOWN_FAULTS)
    detail = f"{len(faults)} of the events are over {limit} bytes; none was stored"
    return RequestRefusal(413, "event-too-large", "Event too large", detail, shown, more)


def too_many_events(limit: int) -> RequestRefusal:
    """Refuse a body that splits into too many events."""
    detail = f"the body has more than {limit:,} events; send fewer in a request"
    return RequestRefusal(413, "too-many-events", "Too many events", detail)


def missing_value(detail: str, faults: Sequence[EventFault]) -> RequestRefusal:
    """Refuse a request without the value of a declared attribute."""
    shown, more = tuple(faults[:MAX_SHOWN_FAULTS]), max(0, len(faults) - MAX_SHOWN_FAULTS)
    return RequestRefusal(400, "missing-value", "Missing value", detail, shown, more)


def unsupported_media(detail: str, *headers: tuple[str, str]) -> RequestRefusal:
    """Refuse an unsupported media type, charset or content encoding."""
    return RequestRefusal(
        415, "unsupported-media", "Unsupported media type", detail, headers=headers
    )


def not_found(path: str) -> RequestRefusal:
    detail = f"there is nothing at {path[:200]!r}; events go to POST /events"
    return RequestRefusal(404, "not-found", "Not found", detail)


def takes_no_events() -> RequestRefusal:
    """Refuse events and API calls at a process that only delivers."""
    detail = (
        "this process only delivers: send events and API requests to a process that runs"
        " busway serve or busway run; this one serves /healthz, /readyz and /metrics"
    )
    return RequestRefusal(404, "takes-no-events", "No events here", detail)


def unknown_source(address: str) -> RequestRefusal:
    """Refuse a request to a source that the app does not declare."""
    detail = (
        f"there is no source at {address[:200]!r}; declare it with app.source(…) and send to"
        " /in/ followed by its name"
    )
    return RequestRefusal(404, "unknown-source", "Unknown source", detail)


def events_off() -> RequestRefusal:
    """Refuse events at ``/events`` if the app is declared with ``events=False``."""
    detail = (
        "this app does not accept events at /events: it is declared with events=False; send to"
        " one of its sources, at /in/ followed by its name"
    )
    return RequestRefusal(404, "events-off", "No events here", detail)


def source_paused(reason: str) -> RequestRefusal:
    return _retry_later(503, "source-paused", "Source paused", reason, 30)


def not_here(detail: str) -> RequestRefusal:
    """Refuse a path that is served at another address."""
    return RequestRefusal(404, "not-here", "Not here", detail)


def cross_origin_page() -> RequestRefusal:
    """Refuse a request that a web page of another origin made a browser send."""
    detail = "a web page of another origin may not send events"
    return RequestRefusal(403, "forbidden", "Forbidden", detail)


def missing_key() -> RequestRefusal:
    """Refuse events without a key if the intake requires one."""
    detail = (
        "a key is required: send one with the scope intake as Authorization: Bearer …;"
        " create it with busway keys create --scope intake"
    )
    headers = (("www-authenticate", 'Bearer realm="busway"'),)
    return RequestRefusal(401, "unauthorized", "Not authorized", detail, headers=headers)


def not_allowed(method: str, path: str, allow: str) -> RequestRefusal:
    detail = f"{path} allows {allow}, not {method}"
    return RequestRefusal(
        405, "not-allowed", "Method not allowed", detail, headers=(("allow", allow),)
    )


def store_full(reason: str) -> RequestRefusal:
    return _retry_later(507, "store-full", "No room for more events", reason, 30)


def store_unavailable(reason: str) -> RequestRefusal:
    return _retry_later(503, "store-failing", "The store cannot be used now", reason, 5)


def timed_out(what: str) -> RequestRefusal:
    detail = f"the {what} of the request took too long to arrive"
    return RequestRefusal(408, "timeout", "Request timeout", detail, closes=True)


def head_too_large(limit: int) -> RequestRefusal:
    detail = f"the request line and the headers are over {limit} bytes"
    return RequestRefusal(431, "head-too-large", "Head too large", detail, closes=True)


def too_many_headers(limit: int) -> RequestRefusal:
    detail = f"there are more than {limit} headers"
    return RequestRefusal(431, "head-too-large", "Head too large", detail, closes=True)


def internal_error() -> RequestRefusal:
    detail = "a defect in the server; see its log"
    return RequestRefusal(500, "internal", "Internal error", detail)


def draining() -> RequestRefusal:
    refusal = _retry_later(
        503, "draining", "Stopping", "this server is shutting down; send again", 2
    )
    return msgspec.structs.replace(refusal, closes=True)


def too_many_in_flight(what: str) -> RequestRefusal:
    detail = f"too many {what} are in flight; send again later"
    return _retry_later(429, "too-busy", "Too many requests", detail, 1)


def _retry_later(
    status: int, kind: str, title: str, detail: str, retry_after_s: int
) -> RequestRefusal:
    return RequestRefusal(
        status, kind, title, detail, headers=(("retry-after", str(retry_after_s)),)
    )
