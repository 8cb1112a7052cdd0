"""The share of failed events over a sliding window. Pure; time is passed in."""

from __future__ import annotations

from collections import deque

_MAX_SAMPLES = 120
"""The maximum number of samples in a window, which determines its steps."""


class FailedShare:
    """The share of the events processed in a window that are failed.

    It is unknown in the first seconds, when events parked earlier would dominate.

    >>> share = FailedShare(window_s=60)
    >>> share.observe(0.0, parked=0, dead=0, delivered=100) is None
    True
    >>> share.observe(10.0, parked=6, dead=0, delivered=102)
    0.75
    """

    def __init__(self, window_s: float, min_failed: int = 1, warm_up_s: float = 5.0) -> None:
        self._window_s = window_s
        self._min_failed = min_failed
        self._warm_up_s = min(warm_up_s, window_s)
        self._first_sample_at: float | None = None
        self._samples: deque[tuple[float, int, int]] = deque()
        self._last_dead = self._new_dead = 0

    def observe(self, now: float, parked: int, dead: int, delivered: int) -> float | None:
        """Return the share over the window that ends now; 0 if fewer than ``min_failed`` failed.

        ``parked`` and ``dead`` are the current numbers, ``delivered`` the number of events
        delivered since the flow started.
        """
        if self._first_sample_at is None:
            self._first_sample_at = now
        else:
            self._new_dead += max(0, dead - self._last_dead)
        self._last_dead = dead
        while len(self._samples) > 1 and self._samples[1][0] <= now - self._window_s:
            self._samples.popleft()
        if not self._samples or now - self._samples[-1][0] >= self._window_s / _MAX_SAMPLES:
            self._samples.append((now, self._new_dead, delivered))
        if now - self._first_sample_at < self._warm_up_s:
            return None
        _, first_died, first_delivered = self._samples[0]
        failed = parked + self._new_dead - first_died
        if failed < self._min_failed:
            return 0.0
        return failed / (failed + max(0, delivered - first_delivered))


class FailureRate:
    """The share of events that failed, counting new failures, so that a redrive hides none.

    >>> rate = FailureRate(window_s=10)
    >>> rate.observe(0.0, read=0, failed=0), rate.observe(1.0, read=10, failed=4)
    (0.0, 0.4)
    """

    def __init__(self, window_s: float, min_events: int = 1) -> None:
        self._window_s = window_s
        self._min_events = min_events
        self._samples: deque[tuple[float, int, int]] = deque()
        self._last_failed = self._new_failed = 0

    def observe(self, now: float, read: int, failed: int) -> float:
        """Return the share over the window that ends now; 0 if it has less than ``min_events``.

        ``read`` is the number of events read since the flow started, ``failed`` the number that are
        parked, dead or discarded; ``now`` is in seconds of a monotonic clock.
        """
        if self._samples:
            self._new_failed += max(0, failed - self._last_failed)
        self._last_failed = failed
        while len(self._samples) > 1 and self._samples[1][0] <= now - self._window_s:
            self._samples.popleft()
        if not self._samples or now - self._samples[-1][0] >= self._window_s / _MAX_SAMPLES:
            self._samples.append((now, read, self._new_failed))
        _, first_read, first_failed = self._samples[0]
        events = read - first_read
        return (
            min(1.0, (self._new_failed - first_failed) / events)
            if events >= self._min_events
            else 0.0
        )
