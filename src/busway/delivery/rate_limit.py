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

from busway.delivery.backoff import LONGEST_ASKED_S

_IN_A_ROW = 3
_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 30.0
_LIFTED = 64.0
"""From so many requests at a time on, there is no limit any more."""


class RateLimit(msgspec.Struct, frozen=True):
    """How a destination is slowed down; times are seconds of a clock that does not go back.

    ``until`` nothing goes, ``ceiling`` is how many requests may be on their way after that.
    """

    in_a_row: int = 0
    waits: int = 0
    until: float = 0.0
    ceiling: float = inf

    def after(self, now: float, delivered: int, limited: int, asked_s: float | None) -> RateLimit:
        """Return what holds after one more load.

        ``limited`` is how many answers at its end were 429, ``asked_s`` the longest wait that one
        of them asked for.
        """
        risen = self._risen(delivered) if delivered else self
        in_a_row = (0 if delivered else self.in_a_row) + limited
        if limited and in_a_row >= _IN_A_ROW:
            return risen._held(now, asked_s, in_a_row)
        return msgspec.structs.replace(risen, in_a_row=in_a_row)

    def _risen(self, delivered: int) -> RateLimit:
        """Return this with one more request at a time for each round that was delivered."""
        if self.ceiling == inf:
            return self
        ceiling = (self.ceiling**2 + 2 * delivered) ** 0.5  # the sum of 1 / ceiling for each
        return RateLimit(self.in_a_row, 0, self.until, ceiling if ceiling < _LIFTED else inf)

    def _held(self, now: float, asked_s: float | None, in_a_row: int) -> RateLimit:
        if asked_s is None:
            wait_s = min(_FIRST_WAIT_S * 2.0 ** min(self.waits, 16), _LONGEST_WAIT_S)
        else:
            wait_s = min(asked_s, LONGEST_ASKED_S)
        waits = self.waits + (now >= self.until)
        return RateLimit(in_a_row, waits, max(self.until, now + wait_s), 1.0)

    def lifted(self) -> RateLimit:
        """Return this with nothing to wait for: what goes then shows how it is now."""
        return msgspec.structs.replace(self, until=0.0)

    @property
    def is_slow(self) -> bool:
        """Whether it holds anything back, or is about to."""
        return bool(self.in_a_row) or self.ceiling != inf

    def wait_s(self, now: float) -> float:
        """Return how long nothing goes."""
        return max(0.0, self.until - now)

    @property
    def limit(self) -> int | None:
        """How many requests may be on their way; ``None`` for as many as are declared."""
        return None if self.ceiling == inf else max(1, int(self.ceiling))
