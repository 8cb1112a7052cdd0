"""When a destination that answers is taken to be failing: a ratio over a sliding window. Pure."""

from __future__ import annotations

from busway.declarable import Declarable
from busway.duration import parse_seconds
from busway.errors import SettingsError


class BreakerPolicy(Declarable, frozen=True, kw_only=True):
    """When a breaker opens, in addition to a destination that is down.

    It opens when ``ratio`` of the first attempts ``within`` a time failed (an answer like 500, not
    one like 422, which is about the event), of at least ``min_attempts`` attempts; with 1, the
    default, when at least so many have failed in a row; with ``None`` never. It waits
    ``initial_wait`` before it probes, twice as long after each probe that fails, up to
    ``max_wait``. Durations are like ``"30s"``, or numbers of seconds.
    """

    ratio: float | None = 1.0
    min_attempts: int = 20
    within: str | float = 30.0
    initial_wait: str | float = 0.5
    max_wait: str | float = 30.0

    def wait_s(self, failures: int) -> float:
        """Return the wait before the next probe, after so many failures in a row before."""
        doubled = parse_seconds(self.initial_wait) * 2.0 ** min(failures, 16)
        return min(doubled, parse_seconds(self.max_wait))


def validated(policy: BreakerPolicy) -> BreakerPolicy:
    """Return the policy; raises :class:`SettingsError` for values that make no sense."""
    ratio, least = policy.ratio, policy.min_attempts
    if ratio is not None and not (isinstance(ratio, int | float) and 0 < ratio <= 1):
        raise SettingsError(f"ratio is {ratio!r}; give a number over 0 up to 1, or None for never")
    if not isinstance(least, int) or least < 1:
        raise SettingsError(f"min_attempts is {least!r}; give a whole number from 1")
    for name in ("within", "initial_wait", "max_wait"):
        try:
            found = parse_seconds(getattr(policy, name))
        except SettingsError as error:
            raise SettingsError(f"{name}: {error}") from error
        if not found:
            raise SettingsError(f"{name} is nothing; give a duration like '30s'")
    return policy
