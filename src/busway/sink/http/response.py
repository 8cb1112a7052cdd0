"""Outcomes of HTTP responses. Pure."""

from __future__ import annotations

import re
import zlib
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import msgspec

from busway.error_message import error_messages
from busway.outcome import DELIVERED, Delivered, Down, Gone, RateLimited, Rejected, Retry
from busway.sink.http.endpoint import redacted_url

MAX_EXCERPT_CHARS = 300
"""How many characters of a response body a reason shows."""
_RETRIED_STATUSES = frozenset({408, 409, 425})
_UNAVAILABLE_STATUSES = frozenset({502, 503, 504})
_STATUS = re.compile(rb"(?:\r?\n)*[A-Z]+/\d+(?:\.\d+)?[ \t]+(\d{3})(?!\d)[^\n]*\n", re.IGNORECASE)
_HEAD_END = re.compile(rb"\r?\n\r?\n")
_GZIP_OR_ZLIB = zlib.MAX_WBITS | 32


class HttpResponse(msgspec.Struct, frozen=True):
    """The relevant parts of a response; ``body`` may be truncated."""

    status: int
    body: bytes = b""
    retry_after: str | None = None
    location: str | None = None
    date: str | None = None
    """The time of the response by the clock of the server."""


class Unavailable(msgspec.Struct, frozen=True):
    """No response about this event: the destination is unavailable, or fails on the event.

    If other events are delivered, this event is the cause.
    """

    error: str
    reason: str
    retry_after_s: float | None = None

    @property
    def as_down(self) -> Down:
        reason = f"{self.error}: {self.reason}" if self.reason else self.error
        return Down(reason, self.retry_after_s, reachable=True, error=self.error)


ResponseOutcome = Delivered | Retry | RateLimited | Rejected | Gone | Unavailable


def outcome_of(response: HttpResponse, now: datetime) -> ResponseOutcome:
    """Return the outcome of a response (RFC 9110, section 15, and RFC 6585 for 429)."""
    status = response.status
    if 200 <= status < 300:
        return DELIVERED
    error, reason = f"http {status}", excerpt(response.body)
    after_s = retry_after_seconds(response.retry_after, _header_time(response.date) or now)
    if status == 429:
        return RateLimited(error, reason, after_s)
    if status in _UNAVAILABLE_STATUSES:
        return Unavailable(error, reason, after_s)
    if status in _RETRIED_STATUSES or status >= 500:
        return Retry(error, reason, after_s)
    if status == 410:
        return Gone(f"{error}: {reason}", error)
    return Rejected(error, _redirect_reason(response) or reason)


def _redirect_reason(response: HttpResponse) -> str:
    if not (300 <= response.status < 400 and response.location):
        return ""
    target = excerpt(redacted_url(response.location).encode("utf-8", "replace"))
    return f"it redirects to {target}; declare that URL instead"


def excerpt(body: bytes) -> str:
    """Return the beginning of a body as one line, error messages of a long body first.

    >>> excerpt(b'{"request": "' + 300 * b"x" + b'", "error": "no stock"}')[:30]
    'no stock: {"request": "xxxxxxx'
    """
    text = " ".join(body.decode("utf-8", "replace").split())
    shown = "".join(c for c in text if c.isprintable())
    if len(shown) <= MAX_EXCERPT_CHARS:
        return shown
    messages = "; ".join(error_messages(shown))
    shown = f"{messages}: {shown}" if messages else shown
    return shown[: MAX_EXCERPT_CHARS - 1] + "…"


def retry_after_seconds(retry_after: str | None, now: datetime) -> float | None:
    """Return the seconds of ``Retry-After`` (RFC 9110, section 10.2.3).

    ``now`` is the time by the clock of the server, which an absolute time refers to.
    """
    text = (retry_after or "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:12])
    at = _header_time(text)
    return None if at is None else max(0.0, (at - now).total_seconds())


def _header_time(text: str | None) -> datetime | None:
    """Return the time of a header, ``None`` if it is invalid."""
    try:
        at = parsedate_to_datetime(text or "")
        return at.replace(tzinfo=at.tzinfo or UTC).astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def status_of(beginning: bytes) -> int | None:
    """Return the status of the answer that begins so, ``None`` where there is no status line.

    Interim answers (1xx but 101) before it are passed over (RFC 9110, section 15.2).

    >>> status_of(b"HTTP/1.1 100 Continue\\r\\n\\r\\nHTTP/1.1 204 Fine\\r\\nnot a header")
    204
    """
    at = 0
    while line := _STATUS.match(beginning, at):
        status = int(line[1])
        end = _HEAD_END.search(beginning, line.start(1))
        if not 100 <= status < 200 or status == 101:
            return status
        if end is None:
            return None
        at = end.end()
    return None


def decompressed(body: bytes, encoding: str, max_bytes: int) -> bytes:
    """Return at most ``max_bytes`` of a body, decompressed if possible, for an error text."""
    encoding_name = encoding.strip().lower()
    if not body or encoding_name in ("", "identity"):
        return body[:max_bytes]
    try:
        return zlib.decompressobj(_GZIP_OR_ZLIB).decompress(body, max_bytes)
    except zlib.error:
        shown = encoding_name[:40].encode("ascii", "replace")
        return b"(a body that cannot be read, Content-Encoding " + shown + b")"
