"""The outcomes of an event at a step or a sink."""

from __future__ import annotations

import msgspec


class Delivered(msgspec.Struct, frozen=True):
    """The destination has stored it, as durably as it promises."""


class Retry(msgspec.Struct, frozen=True):
    """It failed and may succeed later: the event is parked.

    ``retry_after_s`` is the minimum wait that the destination requested, in seconds.
    ``counts_as_attempt`` is whether one of the event's attempts is used up.
    """

    error: str
    reason: str
    retry_after_s: float | None = None
    counts_as_attempt: bool = True


class RateLimited(msgspec.Struct, frozen=True):
    """The destination limits the rate (HTTP 429).

    The event is parked without using up an attempt, and all deliveries to the destination slow
    down. ``retry_after_s`` is the minimum wait that the destination requested, in seconds.
    ``later_delivered`` is whether an event of the load that was sent later was delivered.
    """

    error: str
    reason: str
    retry_after_s: float | None = None
    later_delivered: bool = False


class Rejected(msgspec.Struct, frozen=True):
    """The destination will never accept it: the event becomes a dead letter."""

    error: str
    reason: str


class Down(msgspec.Struct, frozen=True):
    """The destination as a whole is unavailable: the lane waits, and no attempt is used up.

    ``reachable`` is false if the destination could not be reached (connection refused, unknown
    host), and true if it answered that it is unavailable or did not answer in time, which a single
    poison event can cause as well. ``retry_after_s`` is the wait that it requested, in seconds.

    Without an ``error`` the destination is down at once. With an ``error``, the name of this
    event's failure, it is down only if no other events are delivered either. ``later_delivered``
    is whether an event of the load that was sent later was delivered. ``by_policy`` is whether the
    flow's error policy classifies the answer as downtime.
    """

    reason: str
    retry_after_s: float | None = None
    reachable: bool = False
    error: str = ""
    later_delivered: bool = False
    by_policy: bool = False

    @property
    def was_received(self) -> bool:
        """Whether the destination has received this event."""
        return self.reachable and bool(self.error)

    @property
    def is_ambiguous(self) -> bool:
        """Whether only the outcomes of other events can show if the destination is down."""
        return bool(self.error) and not self.by_policy


class Gone(msgspec.Struct, frozen=True):
    """The destination is gone for good (HTTP 410): the flow stops, and no event is lost.

    ``error`` names the answer to this event, if there was one.
    """

    reason: str
    error: str = ""


class NotAttempted(msgspec.Struct, frozen=True):
    """The event was not sent, because no permit was granted: its state does not change."""


Outcome = Delivered | Retry | RateLimited | Rejected | Down | Gone | NotAttempted
DELIVERED = Delivered()
NOT_ATTEMPTED = NotAttempted()
BLOCKED_BY_KEY = Retry("held", "waits behind an earlier event of its key")
"""In an ordered load: not tried, because an earlier event of the same key was not delivered."""
