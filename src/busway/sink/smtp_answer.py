"""What a mail server's replies mean for an event, decided without any I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from busway.outcome import DELIVERED, Delivered, Down, Rejected, Retry

EXCERPT = 300
_CLOSING = 421
"""The server shuts down, or has enough of this connection (RFC 5321, section 3.8)."""

Verdict = Delivered | Retry | Rejected | Down


class Reply(msgspec.Struct, frozen=True):
    """A reply: 2xx yes, 4xx not now, 5xx no (RFC 5321, section 4.2.1)."""

    code: int
    text: str

    @property
    def ok(self) -> bool:
        return 200 <= self.code < 400

    @property
    def shown(self) -> str:
        """Its text as one line."""
        line = " ".join(self.text.split())
        line = "".join(c for c in line if c.isprintable())
        return line if len(line) <= EXCERPT else line[: EXCERPT - 1] + "…"


def judged(reply: Reply) -> Verdict:
    """Return what a reply about the whole message means."""
    if reply.ok:
        return DELIVERED
    if reply.code == _CLOSING:
        return Down(f"smtp {reply.code}: {reply.shown}", reachable=True)
    if 400 <= reply.code < 500:
        return Retry(f"smtp {reply.code}", reply.shown)
    return Rejected(f"smtp {reply.code}", reply.shown)


def refused(refusals: Mapping[str, Reply], accepted: Sequence[str]) -> Verdict:
    """Return what it means that some recipients were refused; ``accepted`` have the message.

    As long as one of them may be taken later it is tried again, for those alone.
    """
    if not refusals:
        return DELIVERED
    later = {to: reply for to, reply in refusals.items() if 400 <= reply.code < 500}
    error = f"smtp {next(iter((later or refusals).values())).code}"
    reasons = [f"{to}: {reply.code} {reply.shown}" for to, reply in refusals.items()]
    taken = f"; accepted for {', '.join(accepted)}" if accepted else ""
    reason = "; ".join(reasons) + taken
    return Retry(error, reason) if later else Rejected(error, reason)
