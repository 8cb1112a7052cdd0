"""The throttle: how fast a flow may deliver. Pure; time is passed in."""

from __future__ import annotations

import re

import msgspec

from busway.errors import SettingsError

_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}
_RATE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*/\s*([smh])\s*")
_BURST_S = 0.1
"""How much of the rate may go at once, in seconds of it."""


class Rate(msgspec.Struct, frozen=True):
    """At most ``per_s`` events a second, on average over any time longer than a tenth of one."""

    per_s: float

    @classmethod
    def parse(cls, text: object) -> Rate:
        """Return the rate of ``"50/s"``, ``"1000/m"`` or ``"10/h"``.

        Raises :class:`SettingsError` for anything else, and for a rate of nothing.
        """
        found = _RATE.fullmatch(text) if isinstance(text, str) else None
        if found is None or not float(found[1]):
            raise SettingsError(f"{text!r} is no rate; write it like '50/s', '1000/m' or '10/h'")
        return cls(float(found[1]) / _SECONDS[found[2]])

    @property
    def burst(self) -> int:
        """How many events may go at once."""
        return max(1, int(self.per_s * _BURST_S))


class Throttle(msgspec.Struct, frozen=True):
    """A rate, and how far it is used up: ``free_at`` is when all that went is paid for, in seconds
    of a clock that does not go back (the generic cell rate algorithm, ITU-T I.371)."""

    rate: Rate
    free_at: float = float("-inf")

    def wait_s(self, now: float) -> float:
        """Return how long the next events have to wait."""
        return max(0.0, self.free_at - now)

    def used(self, now: float, count: int) -> Throttle:
        """Return the throttle after ``count`` events went."""
        return Throttle(self.rate, max(self.free_at, now) + count / self.rate.per_s)
