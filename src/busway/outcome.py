"""What can become of an event at a step or a sink: values, matched once."""

from __future__ import annotations

from datetime import datetime

import msgspec


class Delivered(msgspec.Struct, frozen=True):
    """The destination has it, durably as far as the destination promises."""


class Retry(msgspec.Struct, frozen=True):
    """It failed and may succeed later: the event is parked and one attempt is used up.

    ``retry_after_s`` is the shortest wait that the destination asked for, in seconds. An attempt
    that is not ``counts_as_attempt`` is not used up.
    """

    error: str
    reason: str
    retry_after_s: float | None = None
    counts_as_attempt: bool = True


class RateLimited(msgspec.Struct, frozen=True):
    """The destination takes no more for the moment (HTTP 429): the event is parked, no attempt is
    used up, and everything that goes there slows down.

    ``retry_after_s`` is the shortest wait that the destination asked for, in seconds.
    ``later_delivered`` is whether another event of the load that set out later was delivered.
    """

    error: str
    reason: str
    retry_after_s: float | None = None
    later_delivered: bool = False


class Rejected(msgspec.Struct, frozen=True):
    """The destination will never take it: the event becomes a dead letter."""

    error: str
    reason: str


class Down(msgspec.Struct, frozen=True):
    """The destination as a whole takes nothing now: no attempt is used up, the lane waits.

    ``reachable`` is false when there was no answer from it at all (refused, unknown host), true
    when it answered that it is unavailable or did not answer in time, which a single poisonous
    event can cause as well. ``retry_after_s`` is the wait that it asked for, in seconds. ``error``
    names what happened to this event: then it is decided over all events whether the destination
    is down, which it is if nothing is delivered any more. Without an ``error`` it is down at once.
    ``later_delivered`` is whether another event of the load that set out later was delivered;
    ``by_policy`` whether a flow's policy calls this answer downtime.
    """

    reason: str
    retry_after_s: float | None = None
    reachable: bool = False
    error: str = ""
    later_delivered: bool = False
    by_policy: bool = False

    @property
    def was_received(self) -> bool:
        """Whether the destination has had this event."""
        return self.reachable and bool(self.error)

    @property
    def is_ambiguous(self) -> bool:
        """Whether other events show if the destination is down."""
        return bool(self.error) and not self.by_policy


class Gone(msgspec.Struct, frozen=True):
    """The destination asks never to be called again (HTTP 410): the flow stops, nothing is lost.

    ``error`` names the answer to this event, where there was one.
    """

    reason: str
    error: str = ""


class NotAttempted(msgspec.Struct, frozen=True):
    """It was not sent, because there was no leave to: it stays as it was, to be tried later."""


Outcome = Delivered | Retry | RateLimited | Rejected | Down | Gone | NotAttempted
DELIVERED = Delivered()
NOT_ATTEMPTED = NotAttempted()
BLOCKED_BY_KEY = Retry("held", "waits behind an earlier event of its key")
"""Of an ordered load: not tried, because an earlier event of the same key did not land."""


class Failure(msgspec.Struct, frozen=True, omit_defaults=True):
    """One failed attempt at an event.

    ``attempt`` counts from 1, ``stage`` is ``rule``, ``step`` or ``sink``, ``error`` a stable name
    (an exception's type, ``http 500``), ``reason`` its text, ``traceback`` the Python traceback
    where there was one, ``version`` the code version of the flow, ``took_ms`` the time it took. One
    that is not ``counts_as_attempt`` used no attempt up: the next one has the same number.
    """

    attempt: int
    at: datetime
    stage: str
    error: str
    reason: str
    traceback: str | None = None
    version: str = ""
    took_ms: float | None = None
    counts_as_attempt: bool = True
