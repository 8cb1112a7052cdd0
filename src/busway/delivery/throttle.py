"""The throttle: how fast events may go. Pure; time is passed in.

A throttle is a record of two numbers, so that several workers can share one: each takes a slice of
events at a time (:meth:`Throttle.consume`), by comparing and setting the record where it is kept.
"""

from __future__ import annotations

import re

import msgspec

from busway.errors import SettingsError

_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}
_RATE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*/\s*([smh])\s*(?:burst\s*(\d{1,100})\s*)?")
_MIN_PER_S, _MAX_PER_S = 1e-6, 1e9
_DEFAULT_BURST_S = 0.1
"""How much of the rate may go at once where nothing is said, in seconds of it."""


class Rate(msgspec.Struct, frozen=True):
    """At most ``per_s`` events a second on average, and ``declared_burst`` of them in one go.

    Over any time of t seconds no more than ``per_s * t + burst`` go. Without ``declared_burst``
    the burst is a tenth of a second's events.
    """

    per_s: float
    declared_burst: int | None = None

    @classmethod
    def parse(cls, text: object) -> Rate:
        """Return the rate of ``"50/s"``, ``"1000/m"``, ``"10/h"`` or ``"100/s burst 500"``.

        A rate is returned as it is. Raises :class:`SettingsError` for anything else, and for a
        rate or a burst of nothing, or of more than a billion.
        """
        rate = text if isinstance(text, Rate) else None
        found = _RATE.fullmatch(text) if isinstance(text, str) else None
        if found is not None:
            at_once = None if found[3] is None else int(found[3])
            rate = cls(float(found[1]) / _SECONDS[found[2]], at_once)
        if rate is not None and rate.per_s and not rate._is_kept_exactly:
            raise SettingsError(
                f"{text!r} is not a valid rate; give one from 0.01/h to 1000000000/s,"
                " and a burst up to 1000000000"
            )
        if rate is None or not rate.per_s or rate.burst < 1:
            advice = "write it like '50/s', '1000/m', '10/h' or '100/s burst 500'"
            raise SettingsError(f"{text!r} is no rate; {advice}")
        return rate

    @property
    def _is_kept_exactly(self) -> bool:
        """Whether it can be written as a text and computed with; a throttle is kept as a text."""
        return _MIN_PER_S <= self.per_s <= _MAX_PER_S and (self.declared_burst or 0) <= _MAX_PER_S

    @property
    def burst(self) -> int:
        """How many events may go at once."""
        return (
            max(1, int(self.per_s * _DEFAULT_BURST_S))
            if self.declared_burst is None
            else self.declared_burst
        )

    def divided(self, workers: int) -> Rate:
        """Return what each of so many may do, so that all of them together keep to this.

        A burst is at least one event, so where they are more than the burst is, that many may go
        at once; on average no more than the rate goes in any case.
        """
        at_once = None if self.declared_burst is None else max(1, self.declared_burst // workers)
        return Rate(self.per_s / workers, at_once)

    def __str__(self) -> str:
        rate = f"{self.per_s:.12f}".rstrip("0").rstrip(".") + "/s"
        for unit, seconds in _SECONDS.items():
            whole = round(self.per_s * seconds)
            if whole and whole / seconds == self.per_s:
                rate = f"{whole}/{unit}"
                break
        return rate if self.declared_burst is None else f"{rate} burst {self.declared_burst}"


class Throttle(msgspec.Struct, frozen=True):
    """A rate, and how far it is used up (the generic cell rate algorithm, ITU-T I.371).

    ``free_at`` is when all that went is paid for, in seconds of a clock that does not go back.
    """

    rate: Rate
    free_at: float = 0.0

    def wait_s(self, now: float, count: int) -> float:
        """Return how long ``count`` events have to wait; more than a burst wait as long as one."""
        room = self.rate.burst - min(count, self.rate.burst)
        return max(0.0, self.free_at - room / self.rate.per_s - now)

    def consume(self, now: float, count: int) -> Throttle:
        """Return the throttle after ``count`` events went."""
        return Throttle(self.rate, max(self.free_at, now) + count / self.rate.per_s)

    def refund(self, now: float, consumed_at: float, count: int) -> Throttle:
        """Return the throttle when ``count`` events of those that used it at ``consumed_at`` did
        not go.

        What came free by waiting has been given already: together with that it would be too much.
        """
        left_s = max(0.0, count / self.rate.per_s - (now - consumed_at))
        return Throttle(self.rate, self.free_at - left_s)

    def with_rate(self, now: float, rate: Rate) -> Throttle:
        """Return the throttle with another rate from now on: what is owed is paid at that."""
        owed = max(0.0, self.free_at - now) * self.rate.per_s
        return Throttle(rate, now + owed / rate.per_s)
