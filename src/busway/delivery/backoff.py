"""When an event that failed is tried again."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

LONGEST_ASKED_S = 86_400.0


class Backoff(msgspec.Struct, frozen=True, kw_only=True):
    """Exponential backoff: ``first_s`` after the first failure, then ``factor`` times longer each.

    Never longer than ``cap_s``; spread by ``jitter`` (0.2: up to 20 % shorter or longer) so that
    events which failed together do not come back together. ``attempts`` counts all of them, the
    first included; after the last the event is a dead letter.
    """

    first_s: float = 1.0
    factor: float = 2.0
    cap_s: float = 600.0
    jitter: float = 0.2
    attempts: int = 10

    def delay_s(self, failed: int, chance: float, asked_s: float | None = None) -> float:
        """Return the wait after the ``failed``-th failure, in seconds.

        ``chance`` is a random number from 0 up to 1. What the destination ``asked_s`` for
        (``Retry-After``) is the least that is waited, up to a day.
        """
        try:
            plain = min(self.first_s * self.factor ** (failed - 1), self.cap_s)
        except OverflowError:
            plain = self.cap_s
        spread = plain * (1 + self.jitter * (2 * chance - 1))
        return max(spread, min(asked_s or 0.0, LONGEST_ASKED_S))

    def exhausted(self, failed: int) -> bool:
        """Say whether no attempt is left after ``failed`` failures."""
        return failed >= self.attempts

    def due(self, now: datetime, failed: int, chance: float, asked_s: float | None) -> datetime:
        """Return when the next attempt is due."""
        return now + timedelta(seconds=self.delay_s(failed, chance, asked_s))
