"""The share of events that failed, over a window that slides. Pure; time is passed in."""

from __future__ import annotations

from collections import deque

_STEPS = 120
"""How many looks a window remembers at most: it slides in steps of so small a part of it."""


class Standing:
    """The share of what was worked on over a window that stands as failed.

    Nothing is known in the first seconds, in which what was parked before would seem to be all.

    >>> standing = Standing(over_s=60)
    >>> standing.looked(0.0, parked=0, dead=0, delivered=100) is None
    True
    >>> standing.looked(10.0, parked=6, dead=0, delivered=102)
    0.75
    """

    def __init__(self, over_s: float, least: int = 1, quiet_s: float = 5.0) -> None:
        self._over_s = over_s
        self._least = least
        self._quiet_s = min(quiet_s, over_s)
        self._began: float | None = None
        self._looks: deque[tuple[float, int, int]] = deque()
        self._dead = self._died = 0

    def looked(self, now: float, parked: int, dead: int, delivered: int) -> float | None:
        """Return the share over the window that ends now; 0 where fewer than ``least`` failed.

        ``parked`` and ``dead`` are how many stand so, ``delivered`` how many were delivered since
        the flow began.
        """
        if self._began is None:
            self._began = now
        else:
            self._died += max(0, dead - self._dead)
        self._dead = dead
        while len(self._looks) > 1 and self._looks[1][0] <= now - self._over_s:
            self._looks.popleft()
        if not self._looks or now - self._looks[-1][0] >= self._over_s / _STEPS:
            self._looks.append((now, self._died, delivered))
        if now - self._began < self._quiet_s:
            return None
        _, first_died, first_delivered = self._looks[0]
        failed = parked + self._died - first_died
        if failed < self._least:
            return 0.0
        return failed / (failed + max(0, delivered - first_delivered))


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
