"""The breaker: whether a destination may be called now. Pure; time is passed in.

::

    closed ──down, failing──► open ──its wait is over──► half-open (one probe) ──lands──► closed
                               ▲                              │
                               └──down or failing, longer─────┘
    any ──gone──► gone ──an operator resumes──► closed

An operator who resumes does not wait for the next probe either.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from busway.delivery.backoff import LONGEST_ASKED_S
from busway.delivery.trip import Trip


class Breaker(msgspec.Struct, frozen=True):
    """The state of a destination. Times are seconds of a clock that does not go back."""

    state: Literal["closed", "open", "half-open", "gone"] = "closed"
    reason: str = ""
    failures: int = 0
    """Consecutive times that it was down."""
    until: float = 0.0
    """When the next probe may go, while open."""
    failing: bool = False
    """Whether it opened because too much of what it answered was a failure."""
    trip: Trip = Trip()

    def on_success(self) -> Breaker:
        """It answered."""
        return self if self.state in ("closed", "gone") else Breaker(trip=self.trip)

    def on_down(self, now: float, reason: str, asked_s: float | None = None) -> Breaker:
        """It takes nothing now; ``asked_s`` is the wait that it asked for, in seconds."""
        asked_until = now + min(asked_s or 0.0, LONGEST_ASKED_S)
        if self.state == "gone":
            return self
        if self.state == "open" and now < self.until:
            return msgspec.structs.replace(self, until=max(self.until, asked_until))
        until = max(now + self.trip.wait_s(self.failures), asked_until)
        return Breaker("open", reason, self.failures + 1, until, self.failing, self.trip)

    def on_failing(self, now: float, reason: str) -> Breaker:
        """Too much of what it answers is a failure."""
        return msgspec.structs.replace(self, failing=True).on_down(now, reason)

    def on_gone(self, reason: str) -> Breaker:
        """It asks never to be called again."""
        return Breaker("gone", reason, self.failures, trip=self.trip)

    def resumed(self) -> Breaker:
        """An operator says that it takes writes again: the next probe goes at once."""
        if self.state == "gone":
            return Breaker(trip=self.trip)
        return msgspec.structs.replace(self, until=0.0) if self.state == "open" else self

    def wait_s(self, now: float) -> float | None:
        """Return how long to wait before calling: 0 now, ``None`` for no known time."""
        if self.state == "closed":
            return 0.0
        if self.state == "open":
            return max(0.0, self.until - now)
        return None

    def probe(self) -> Breaker:
        """One caller goes to see; the others wait for what it finds."""
        return msgspec.structs.replace(self, state="half-open")

    def unprobed(self) -> Breaker:
        """The one who went to see turned back before it saw anything: another may go."""
        return msgspec.structs.replace(self, state="open")
