"""The circuit breaker: whether a destination may be called. Pure; time is passed in.

::

    closed ──down, failing──► open ──wait elapsed──► half-open (one probe) ──success──► closed
                               ▲                              │
                               └──down or failing, longer─────┘
    any ──gone──► gone ──operator resumes──► closed

If an operator resumes an open breaker, the next probe is made at once.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from busway.delivery.backoff import MAX_RETRY_AFTER_S
from busway.delivery.breaker_policy import BreakerPolicy


class Breaker(msgspec.Struct, frozen=True):
    """The state of a destination. Times are seconds of a monotonic clock."""

    state: Literal["closed", "open", "half-open", "gone"] = "closed"
    reason: str = ""
    failures: int = 0
    """The number of consecutive outages and failed probes."""
    probe_at: float = 0.0
    """When the next probe may be made, while open."""
    opened_by_failures: bool = False
    """Whether it opened because of the failure rate, not an outage."""
    policy: BreakerPolicy = BreakerPolicy()

    def on_success(self) -> Breaker:
        """Return the breaker after a successful response."""
        return self if self.state in ("closed", "gone") else Breaker(policy=self.policy)

    def on_down(self, now: float, reason: str, retry_after_s: float | None = None) -> Breaker:
        """Return the breaker after an outage; ``retry_after_s`` is the wait it requested."""
        requested_until = now + min(retry_after_s or 0.0, MAX_RETRY_AFTER_S)
        if self.state == "gone":
            return self
        if self.state == "open" and now < self.probe_at:
            return msgspec.structs.replace(self, probe_at=max(self.probe_at, requested_until))
        until = max(now + self.policy.wait_s(self.failures), requested_until)
        return Breaker(
            "open", reason, self.failures + 1, until, self.opened_by_failures, self.policy
        )

    def on_failing(self, now: float, reason: str) -> Breaker:
        """Return the breaker after the failure rate became too high."""
        return msgspec.structs.replace(self, opened_by_failures=True).on_down(now, reason)

    def on_gone(self, reason: str) -> Breaker:
        """Return the breaker after the destination said that it is gone for good."""
        return Breaker("gone", reason, self.failures, policy=self.policy)

    def resume(self) -> Breaker:
        """Return the breaker after an operator's resume: the next probe is due at once."""
        if self.state == "gone":
            return Breaker(policy=self.policy)
        return msgspec.structs.replace(self, probe_at=0.0) if self.state == "open" else self

    def wait_s(self, now: float) -> float | None:
        """Return how long to wait before a call: 0 if allowed now, ``None`` if unknown."""
        if self.state == "closed":
            return 0.0
        if self.state == "open":
            return max(0.0, self.probe_at - now)
        return None

    def begin_probe(self) -> Breaker:
        """Return the breaker while one caller makes a probe and the others wait for its result."""
        return msgspec.structs.replace(self, state="half-open")

    def release_probe(self) -> Breaker:
        """Return the breaker after a probe was abandoned without a result: another may be made."""
        return msgspec.structs.replace(self, state="open")
