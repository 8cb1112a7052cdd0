"""What an HTTP answer means for an event, decided without any I/O."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import msgspec

from busway.error_text import said
from busway.outcome import DELIVERED, Delivered, Down, Gone, Rejected, Retry

EXCERPT = 300
"""How many characters of an answer's body a reason shows."""
_RETRIED = frozenset({408, 409, 425})
_UNAVAILABLE = frozenset({429, 502, 503, 504})


class Answer(msgspec.Struct, frozen=True):
    """A response, as far as it matters; ``body`` may be cut off."""

    status: int
    body: bytes = b""
    retry_after: str | None = None
    location: str | None = None


class Unavailable(msgspec.Struct, frozen=True):
    """No answer about this event: the destination is busy, or the event keeps it from answering.

    Which of the two shows in how others fare: where they land, it is about this event.
    """

    error: str
    reason: str
    after_s: float | None = None

    @property
    def retry(self) -> Retry:
        return Retry(self.error, self.reason, self.after_s)

    @property
    def down(self) -> Down:
        reason = f"{self.error}: {self.reason}" if self.reason else self.error
        return Down(reason, self.after_s, reachable=True, error=self.error)


Verdict = Delivered | Retry | Rejected | Gone | Unavailable


def judged(answer: Answer, now: datetime) -> Verdict:
    """Return what an answer means (RFC 9110, section 15, and RFC 6585 for 429)."""
    status = answer.status
    error, reason = f"http {status}", excerpt(answer.body)
    after_s = wait_s(answer.retry_after, now)
    if 200 <= status < 300:
        return DELIVERED
    if status in _UNAVAILABLE:
        return Unavailable(error, reason, after_s)
    if status in _RETRIED or status >= 500:
        return Retry(error, reason, after_s)
    if status == 410:
        return Gone(f"{error}: {reason}", error)
    if 300 <= status < 400 and answer.location:
        return Rejected(error, f"it redirects to {answer.location}; declare that URL instead")
    return Rejected(error, reason)


def excerpt(body: bytes) -> str:
    """Return the beginning of a body, as one line of text; of a longer one first what it says.

    >>> excerpt(b'{"request": "' + 300 * b"x" + b'", "error": "no stock"}')[:30]
    'no stock: {"request": "xxxxxxx'
    """
    text = " ".join(body.decode("utf-8", "replace").split())
    shown = "".join(c for c in text if c.isprintable())
    if len(shown) <= EXCERPT:
        return shown
    says = "; ".join(said(shown))
    shown = f"{says}: {shown}" if says else shown
    return shown[: EXCERPT - 1] + "…"


def wait_s(retry_after: str | None, now: datetime) -> float | None:
    """Return the seconds that ``Retry-After`` asks for (RFC 9110, section 10.2.3)."""
    text = (retry_after or "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:12])
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return max(0.0, (at.replace(tzinfo=at.tzinfo or UTC) - now).total_seconds())
