"""The share of events that failed, over a window that slides. Pure; time is passed in."""

from __future__ import annotations

from collections import deque

_STEPS = 120
"""How many looks a window remembers at most: it slides in steps of so small a part of it."""


class Failing:
    """Counts what failed newly from look to look, so that a redrive hides nothing.

    >>> failing = Failing(over_s=10)
    >>> failing.looked(0.0, read=0, troubled=0), failing.looked(1.0, read=10, troubled=4)
    (0.0, 0.4)
    """

    def __init__(self, over_s: float, least: int = 1) -> None:
        self._over_s = over_s
        self._least = least
        self._looks: deque[tuple[float, int, int]] = deque()
        self._troubled = self._failed = 0

    def looked(self, now: float, read: int, troubled: int) -> float:
        """Return the share over the window that ends now; 0 of fewer than ``least`` events.

        ``read`` is how many events were read since the flow began, ``troubled`` how many stand as
        parked, dead or discarded; ``now`` is in seconds of a clock that does not go back.
        """
        if self._looks:
            self._failed += max(0, troubled - self._troubled)
        self._troubled = troubled
        while len(self._looks) > 1 and self._looks[1][0] <= now - self._over_s:
            self._looks.popleft()
        if not self._looks or now - self._looks[-1][0] >= self._over_s / _STEPS:
            self._looks.append((now, read, self._failed))
        _, first_read, first_failed = self._looks[0]
        events = read - first_read
        return min(1.0, (self._failed - first_failed) / events) if events >= self._least else 0.0
