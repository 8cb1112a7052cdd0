"""When a destination that answers is taken to be failing: a ratio over a sliding window. Pure."""

from __future__ import annotations

from busway.duration import seconds
from busway.errors import SettingsError
from busway.parameter import Declarable


class Trip(Declarable, frozen=True, kw_only=True):
    """When a breaker opens, in addition to a destination that is down.

    It opens when ``ratio`` of the first attempts ``within`` a time failed (an answer like 500, not
    one like 422, which is about the event), of at least ``least`` attempts; with 1, the default,
    when at least so many have failed in a row; with ``None`` never. It waits ``first_wait`` before
    it probes, twice as long after each probe that fails, up to ``longest_wait``. Durations are like
    ``"30s"``, or numbers of seconds.
    """

    ratio: float | None = 1.0
    least: int = 20
    within: str | float = 30.0
    first_wait: str | float = 0.5
    longest_wait: str | float = 30.0

    def wait_s(self, failures: int) -> float:
        """Return the wait before the next probe, after so many failures in a row before."""
        doubled = seconds(self.first_wait) * 2.0 ** min(failures, 16)
        return min(doubled, seconds(self.longest_wait))


def checked(trip: Trip) -> Trip:
    """Return the policy; raises :class:`SettingsError` for values that make no sense."""
    ratio, least = trip.ratio, trip.least
    if ratio is not None and not (isinstance(ratio, int | float) and 0 < ratio <= 1):
        raise SettingsError(f"ratio is {ratio!r}; give a number over 0 up to 1, or None for never")
    if not isinstance(least, int) or least < 1:
        raise SettingsError(f"least is {least!r}; give a whole number from 1")
    for name in ("within", "first_wait", "longest_wait"):
        try:
            found = seconds(getattr(trip, name))
        except SettingsError as error:
            raise SettingsError(f"{name}: {error}") from error
        if not found:
            raise SettingsError(f"{name} is nothing; give a duration like '30s'")
    return trip
