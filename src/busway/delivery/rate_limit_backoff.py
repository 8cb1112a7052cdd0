"""How a destination that limits the rate of requests (HTTP 429) slows its flows down. Pure.

::

    429, others delivered    ──► that event waits, as long as the destination asks for
    429 three times in a row ──► nothing goes for so long; then one request at a time,
                                 and one more for each round of answers

No attempt is used up by it, and no breaker opens.
"""

from __future__ import annotations

from math import inf

import msgspec

from busway.delivery.backoff import MAX_RETRY_AFTER_S

_CONSECUTIVE_LIMIT = 3
_FIRST_WAIT_S = 0.5
_MAX_WAIT_S = 30.0
_UNLIMITED_FROM = 64.0
"""From so many requests at a time on, there is no limit any more."""


class RateLimitBackoff(msgspec.Struct, frozen=True):
    """How a destination is slowed down; times are seconds of a clock that does not go back.

    ``blocked_until`` nothing goes, ``max_in_flight`` is how many requests may be on their way
    after that.
    """

    consecutive: int = 0
    waits: int = 0
    blocked_until: float = 0.0
    max_in_flight: float = inf

    def after(
        self, now: float, delivered: int, limited: int, retry_after_s: float | None
    ) -> RateLimitBackoff:
        """Return what holds after one more load.

        ``limited`` is how many answers at its end were 429, ``retry_after_s`` the longest wait
        that one of them asked for.
        """
        risen = self._increased(delivered) if delivered else self
        in_a_row = (0 if delivered else self.consecutive) + limited
        if limited and in_a_row >= _CONSECUTIVE_LIMIT:
            return risen._blocked(now, retry_after_s, in_a_row)
        return msgspec.structs.replace(risen, consecutive=in_a_row)

    def _increased(self, delivered: int) -> RateLimitBackoff:
        """Return this with one more request at a time for each round that was delivered."""
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
        """Return this with nothing to wait for: what goes then shows how it is now."""
        return msgspec.structs.replace(self, blocked_until=0.0)

    @property
    def is_active(self) -> bool:
        """Whether it holds anything back, or is about to."""
        return bool(self.consecutive) or self.max_in_flight != inf

    def wait_s(self, now: float) -> float:
        """Return how long nothing goes."""
        return max(0.0, self.blocked_until - now)

    @property
    def limit(self) -> int | None:
        """How many requests may be on their way; ``None`` for as many as are declared."""
        return None if self.max_in_flight == inf else max(1, int(self.max_in_flight))
