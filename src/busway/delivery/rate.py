"""The throttle: a rate limit for events. Pure; time is passed in.

A throttle is a record of two numbers, so that several workers can share it: each consumes some
events at a time (:meth:`Throttle.consume`) by compare-and-set of the stored record.
"""

from __future__ import annotations

import re

import msgspec

from busway.errors import SettingsError

_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}
_RATE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*/\s*([smh])\s*(?:burst\s*(\d{1,100})\s*)?")
_MIN_PER_S, _MAX_PER_S = 1e-6, 1e9
_DEFAULT_BURST_S = 0.1
"""The default burst, in seconds of the rate."""


class Rate(msgspec.Struct, frozen=True):
    """At most ``per_s`` events per second on average, and ``declared_burst`` of them at once.

    In any t seconds at most ``per_s * t + burst`` events pass. Without ``declared_burst`` the burst
    is the events of a tenth of a second, at least 1.
    """

    per_s: float
    declared_burst: int | None = None

    @classmethod
    def parse(cls, text: object) -> Rate:
        """Parse a rate: ``"50/s"``, ``"1000/m"``, ``"10/h"`` or ``"100/s burst 500"``.

        A :class:`Rate` is returned unchanged. Raises :class:`SettingsError` for any other value,
        and if the rate or the burst is 0 or more than a billion.
        """
        rate = text if isinstance(text, Rate) else None
        match = _RATE.fullmatch(text) if isinstance(text, str) else None
        if match is not None:
            burst = None if match[3] is None else int(match[3])
            rate = cls(float(match[1]) / _SECONDS[match[2]], burst)
        if rate is not None and rate.per_s and not rate._is_kept_exactly:
            raise SettingsError(
                f"invalid rate {text!r}: use a rate from 0.01/h to 1000000000/s and a burst up to"
                " 1000000000"
            )
        if rate is None or not rate.per_s or rate.burst < 1:
            fix = "use a value like '50/s', '1000/m', '10/h' or '100/s burst 500'"
            raise SettingsError(f"invalid rate {text!r}: {fix}")
        return rate

    @property
    def _is_kept_exactly(self) -> bool:
        """Whether it can be stored as text and computed without loss of precision."""
        return _MIN_PER_S <= self.per_s <= _MAX_PER_S and (self.declared_burst or 0) <= _MAX_PER_S

    @property
    def burst(self) -> int:
        """The maximum number of events at once."""
        return (
            max(1, int(self.per_s * _DEFAULT_BURST_S))
            if self.declared_burst is None
            else self.declared_burst
        )

    def divided(self, workers: int) -> Rate:
        """Return the rate of each of ``workers`` that together keep this rate.

        Each has a burst of at least one event, so that more workers than the burst may exceed it
        together; the average rate is never exceeded.
        """
        burst = None if self.declared_burst is None else max(1, self.declared_burst // workers)
        return Rate(self.per_s / workers, burst)

    def __str__(self) -> str:
        rate = f"{self.per_s:.12f}".rstrip("0").rstrip(".") + "/s"
        for unit, seconds in _SECONDS.items():
            whole = round(self.per_s * seconds)
            if whole and whole / seconds == self.per_s:
                rate = f"{whole}/{unit}"
                break
        return rate if self.declared_burst is None else f"{rate} burst {self.declared_burst}"


class Throttle(msgspec.Struct, frozen=True):
    """A rate and its usage (the generic cell rate algorithm, ITU-T I.371).

    ``free_at`` is when the consumed events are paid off, in seconds of a monotonic clock.
    """

    rate: Rate
    free_at: float = 0.0

    def wait_s(self, now: float, count: int) -> float:
        """Return how long ``count`` events have to wait; more than a burst waits like a burst."""
        room = self.rate.burst - min(count, self.rate.burst)
        return max(0.0, self.free_at - room / self.rate.per_s - now)

    def consume(self, now: float, count: int) -> Throttle:
        """Return the throttle after ``count`` events passed."""
        return Throttle(self.rate, max(self.free_at, now) + count / self.rate.per_s)

    def refund(self, now: float, consumed_at: float, count: int) -> Throttle:
        """Return the throttle if ``count`` of the events consumed at ``consumed_at`` did not pass.

        Only the part that has not been paid off by waiting is refunded: the other part may have
        been consumed again.
        """
        refund_s = max(0.0, count / self.rate.per_s - (now - consumed_at))
        return Throttle(self.rate, self.free_at - refund_s)

    def with_rate(self, now: float, rate: Rate) -> Throttle:
        """Return the throttle with another rate from now on; its debt in events stays the same."""
        owed = max(0.0, self.free_at - now) * self.rate.per_s
        return Throttle(rate, now + owed / rate.per_s)
