"""What a mail server's replies mean for an event, decided without any I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from busway.outcome import DELIVERED, Delivered, Down, Rejected, Retry

MAX_EXCERPT_CHARS = 300
_SERVICE_CLOSING = 421
"""The server shuts down, or has enough of this connection (RFC 5321, section 3.8)."""

ReplyOutcome = Delivered | Retry | Rejected | Down


class SmtpReply(msgspec.Struct, frozen=True):
    """A reply: 2xx yes, 4xx not now, 5xx no (RFC 5321, section 4.2.1)."""

    code: int
    text: str

    @property
    def is_positive(self) -> bool:
        return 200 <= self.code < 400

    @property
    def line(self) -> str:
        """Its text as one line."""
        line = " ".join(self.text.split())
        line = "".join(c for c in line if c.isprintable())
        return line if len(line) <= MAX_EXCERPT_CHARS else line[: MAX_EXCERPT_CHARS - 1] + "…"


def outcome_of(reply: SmtpReply) -> ReplyOutcome:
    """Return what a reply about the whole message means."""
    if reply.is_positive:
        return DELIVERED
    if reply.code == _SERVICE_CLOSING:
        return Down(f"smtp {reply.code}: {reply.line}", reachable=True)
    if 400 <= reply.code < 500:
        return Retry(f"smtp {reply.code}", reply.line)
    return Rejected(f"smtp {reply.code}", reply.line)


def recipients_outcome(refusals: Mapping[str, SmtpReply], accepted: Sequence[str]) -> ReplyOutcome:
    """Return what it means that some recipients were refused; ``accepted`` have the message.

    As long as one of them may be taken later it is tried again, for those alone.
    """
    if not refusals:
        return DELIVERED
    later = {to: reply for to, reply in refusals.items() if 400 <= reply.code < 500}
    error = f"smtp {next(iter((later or refusals).values())).code}"
    reasons = [f"{to}: {reply.code} {reply.line}" for to, reply in refusals.items()]
    taken = f"; accepted for {', '.join(accepted)}" if accepted else ""
    reason = "; ".join(reasons) + taken
    return Retry(error, reason) if later else Rejected(error, reason)
