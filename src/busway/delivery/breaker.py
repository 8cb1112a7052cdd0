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

from busway.delivery.backoff import MAX_RETRY_AFTER_S
from busway.delivery.breaker_policy import BreakerPolicy


class Breaker(msgspec.Struct, frozen=True):
    """The state of a destination. Times are seconds of a clock that does not go back."""

    state: Literal["closed", "open", "half-open", "gone"] = "closed"
    reason: str = ""
    failures: int = 0
    """Consecutive times that it was down."""
    probe_at: float = 0.0
    """When the next probe may go, while open."""
    opened_by_failures: bool = False
    """Whether it opened because too much of what it answered was a failure."""
    policy: BreakerPolicy = BreakerPolicy()

    def on_success(self) -> Breaker:
        """It answered."""
        return self if self.state in ("closed", "gone") else Breaker(policy=self.policy)

    def on_down(self, now: float, reason: str, retry_after_s: float | None = None) -> Breaker:
        """It takes nothing now; ``retry_after_s`` is the wait that it asked for, in seconds."""
        asked_until = now + min(retry_after_s or 0.0, MAX_RETRY_AFTER_S)
        if self.state == "gone":
            return self
        if self.state == "open" and now < self.probe_at:
            return msgspec.structs.replace(self, probe_at=max(self.probe_at, asked_until))
        until = max(now + self.policy.wait_s(self.failures), asked_until)
        return Breaker(
            "open", reason, self.failures + 1, until, self.opened_by_failures, self.policy
        )

    def on_failing(self, now: float, reason: str) -> Breaker:
        """Too much of what it answers is a failure."""
        return msgspec.structs.replace(self, opened_by_failures=True).on_down(now, reason)

    def on_gone(self, reason: str) -> Breaker:
        """It asks never to be called again."""
        return Breaker("gone", reason, self.failures, policy=self.policy)

    def resume(self) -> Breaker:
        """An operator says that it takes writes again: the next probe goes at once."""
        if self.state == "gone":
            return Breaker(policy=self.policy)
        return msgspec.structs.replace(self, probe_at=0.0) if self.state == "open" else self

    def wait_s(self, now: float) -> float | None:
        """Return how long to wait before calling: 0 now, ``None`` for no known time."""
        if self.state == "closed":
            return 0.0
        if self.state == "open":
            return max(0.0, self.probe_at - now)
        return None

    def begin_probe(self) -> Breaker:
        """One caller goes to see; the others wait for what it finds."""
        return msgspec.structs.replace(self, state="half-open")

    def release_probe(self) -> Breaker:
        """The one who went to see turned back before it saw anything: another may go."""
        return msgspec.structs.replace(self, state="open")
