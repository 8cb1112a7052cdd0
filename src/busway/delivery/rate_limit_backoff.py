"""Backoff for a destination that limits the rate of requests (HTTP 429). Pure.

::

    429, others delivered    ──► the event waits as long as the destination requests
    429 three times in a row ──► all requests wait that long; then one request at a time,
                                 and one more per round of responses

It uses up no attempts, and opens no breaker.
"""

from __future__ import annotations

from math import inf

import msgspec

from busway.delivery.backoff import MAX_RETRY_AFTER_S

_CONSECUTIVE_LIMIT = 3
_FIRST_WAIT_S = 0.5
_MAX_WAIT_S = 30.0
_UNLIMITED_FROM = 64.0
"""At this many concurrent requests the limit is lifted."""


class RateLimitBackoff(msgspec.Struct, frozen=True):
    """The backoff of a destination; times are seconds of a monotonic clock.

    No request is sent before ``blocked_until``; after it, at most ``max_in_flight`` are in flight.
    """

    consecutive: int = 0
    waits: int = 0
    blocked_until: float = 0.0
    max_in_flight: float = inf

    def after(
        self, now: float, delivered: int, limited: int, retry_after_s: float | None
    ) -> RateLimitBackoff:
        """Return the backoff after one more load.

        ``limited`` is the number of 429 responses at its end, ``retry_after_s`` the longest wait
        that one of them requested.
        """
        increased = self._increased(delivered) if delivered else self
        consecutive = (0 if delivered else self.consecutive) + limited
        if limited and consecutive >= _CONSECUTIVE_LIMIT:
            return increased._blocked(now, retry_after_s, consecutive)
        return msgspec.structs.replace(increased, consecutive=consecutive)

    def _increased(self, delivered: int) -> RateLimitBackoff:
        """Return the backoff with one more concurrent request per delivered round."""
        if self.max_in_flight == inf:
            return self
        ceiling = (self.max_in_flight**2 + 2 * delivered) ** 0.5  # the sum of 1 / ceiling for each
        return RateLimitBackoff(
            self.consecutive, 0, self.blocked_until, ceiling if ceiling < _UNLIMITED_FROM else inf
        )

    def _blocked(
        self, now: float, retry_after_s: float | None, consecutive: int
    ) -> RateLimitBackoff:
        if retry_after_s is None:
            wait_s = min(_FIRST_WAIT_S * 2.0 ** min(self.waits, 16), _MAX_WAIT_S)
        else:
            wait_s = min(retry_after_s, MAX_RETRY_AFTER_S)
        waits = self.waits + (now >= self.blocked_until)
        return RateLimitBackoff(consecutive, waits, max(self.blocked_until, now + wait_s), 1.0)

    def unblocked(self) -> RateLimitBackoff:
        """Return the backoff without its wait, so that the next request shows the current state."""
        return msgspec.structs.replace(self, blocked_until=0.0)

    @property
    def is_active(self) -> bool:
        """Whether it restricts requests, or is about to."""
        return bool(self.consecutive) or self.max_in_flight != inf

    def wait_s(self, now: float) -> float:
        """Return how long no request is sent."""
        return max(0.0, self.blocked_until - now)

    @property
    def limit(self) -> int | None:
        """The maximum number of requests in flight; ``None``: as declared."""
        return None if self.max_in_flight == inf else max(1, int(self.max_in_flight))
