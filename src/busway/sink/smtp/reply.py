"""Outcomes of the replies of a mail server. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from busway.outcome import DELIVERED, Delivered, Down, Rejected, Retry

MAX_EXCERPT_CHARS = 300
_SERVICE_CLOSING = 421
"""The server shuts down or ends this connection (RFC 5321, section 3.8)."""

ReplyOutcome = Delivered | Retry | Rejected | Down


class SmtpReply(msgspec.Struct, frozen=True):
    """A reply: 2xx success, 4xx transient failure, 5xx permanent failure (RFC 5321, 4.2.1)."""

    code: int
    text: str

    @property
    def is_positive(self) -> bool:
        return 200 <= self.code < 400

    @property
    def line(self) -> str:
        """The text of the reply as one line."""
        line = " ".join(self.text.split())
        line = "".join(c for c in line if c.isprintable())
        return line if len(line) <= MAX_EXCERPT_CHARS else line[: MAX_EXCERPT_CHARS - 1] + "…"


def outcome_of(reply: SmtpReply) -> ReplyOutcome:
    """Return the outcome of a reply about the whole message."""
    if reply.is_positive:
        return DELIVERED
    if reply.code == _SERVICE_CLOSING:
        return Down(f"smtp {reply.code}: {reply.line}", reachable=True)
    if 400 <= reply.code < 500:
        return Retry(f"smtp {reply.code}", reply.line)
    return Rejected(f"smtp {reply.code}", reply.line)


def recipients_outcome(refusals: Mapping[str, SmtpReply], accepted: Sequence[str]) -> ReplyOutcome:
    """Return the outcome if some recipients were refused; ``accepted`` have the message.

    If a recipient may be accepted later, the message is retried for those without it.
    """
    if not refusals:
        return DELIVERED
    retriable = {
        recipient: reply for recipient, reply in refusals.items() if 400 <= reply.code < 500
    }
    error = f"smtp {next(iter((retriable or refusals).values())).code}"
    reasons = [f"{recipient}: {reply.code} {reply.line}" for recipient, reply in refusals.items()]
    suffix = f"; accepted for {', '.join(accepted)}" if accepted else ""
    reason = "; ".join(reasons) + suffix
    return Retry(error, reason) if retriable else Rejected(error, reason)
