"""The breaker policy: when a destination counts as failing, over a sliding window. Pure."""

from __future__ import annotations

from busway.declarable import Declarable
from busway.duration import parse_seconds
from busway.errors import SettingsError


class BreakerPolicy(Declarable, frozen=True, kw_only=True):
    """When a breaker opens, in addition to a destination that is down.

    It opens if a ``ratio`` of the first attempts ``within`` a time failed, of at least
    ``min_attempts`` attempts. Only failures of the destination count (a response like 500), not of
    the event (422). With 1, the default, it opens after ``min_attempts`` failures in a row; with
    ``None`` never. It waits ``initial_wait`` before a probe, and twice as long after each failed
    probe, up to ``max_wait``. Durations are texts like ``"30s"`` or numbers of seconds.
    """

    ratio: float | None = 1.0
    min_attempts: int = 20
    within: str | float = 30.0
    initial_wait: str | float = 0.5
    max_wait: str | float = 30.0

    def wait_s(self, failures: int) -> float:
        """Return the wait before the next probe, after ``failures`` consecutive failures."""
        doubled = parse_seconds(self.initial_wait) * 2.0 ** min(failures, 16)
        return min(doubled, parse_seconds(self.max_wait))


def validated(policy: BreakerPolicy) -> BreakerPolicy:
    """Return the policy; raises :class:`SettingsError` for invalid values."""
    ratio, min_attempts = policy.ratio, policy.min_attempts
    if ratio is not None and not (isinstance(ratio, int | float) and 0 < ratio <= 1):
        raise SettingsError(f"invalid ratio {ratio!r}: use a number > 0 and <= 1, or None")
    if not isinstance(min_attempts, int) or min_attempts < 1:
        raise SettingsError(f"invalid min_attempts {min_attempts!r}: use an integer >= 1")
    for name in ("within", "initial_wait", "max_wait"):
        try:
            seconds = parse_seconds(getattr(policy, name))
        except SettingsError as error:
            raise SettingsError(f"{name}: {error}") from error
        if not seconds:
            raise SettingsError(f"invalid {name}: use a duration > 0, like '30s'")
    return policy
