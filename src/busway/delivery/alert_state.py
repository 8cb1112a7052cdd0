"""The alert: when it is raised, and when it is cleared again. Pure; time is passed in.

::

    clear ──over──► clear, pending ──over for the hold──► raised
      ▲                │   ▲                               │  ▲
      │             not over                            calm  not calm
      │                ▼                                   ▼  │
      └──calm for its hold──────────────────────── raised, pending

Between the two thresholds a value is neither over nor calm: nothing changes there.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec


class AlertThresholds(msgspec.Struct, frozen=True):
    """Two thresholds, and how long a value must be beyond one of them.

    A value above ``raise_at`` is over, one of ``clear_at`` or less is calm; with
    ``is_lower_bound`` it is the other way round: over below ``raise_at``, calm from ``clear_at``
    on.
    """

    raise_at: float
    clear_at: float
    raise_after_s: float = 0.0
    clear_after_s: float = 0.0
    is_lower_bound: bool = False

    def is_breached(self, value: float) -> bool:
        """Say whether a value is one to raise an alert for."""
        return value < self.raise_at if self.is_lower_bound else value > self.raise_at

    def is_cleared(self, value: float) -> bool:
        """Say whether a value is one to clear an alert for."""
        return value >= self.clear_at if self.is_lower_bound else value <= self.clear_at


class AlertState(msgspec.Struct, frozen=True):
    """How an alert stands: raised or not, ``since`` when, after how many ``changes``.

    ``repeats`` is how often it was told again while raised, ``repeated_at`` when it was last.
    ``breached_since`` is since when the value had been beyond the threshold when it changed;
    ``pending_since`` is since when it has been beyond the threshold for the next change.
    """

    raised: bool = False
    since: datetime | None = None
    breached_since: datetime | None = None
    pending_since: datetime | None = None
    changes: int = 0
    repeats: int = 0
    repeated_at: datetime | None = None

    def observe(
        self, thresholds: AlertThresholds, value: float | None, now: datetime
    ) -> AlertState:
        """Return how it stands after a look; ``None`` is a value that is not known, and tells
        nothing."""
        if value is None:
            return self
        if not (thresholds.is_cleared(value) if self.raised else thresholds.is_breached(value)):
            return msgspec.structs.replace(self, pending_since=None)
        pending = self.pending_since or now
        hold_s = thresholds.clear_after_s if self.raised else thresholds.raise_after_s
        if (now - pending).total_seconds() < hold_s:
            return msgspec.structs.replace(self, pending_since=pending)
        return AlertState(not self.raised, now, pending, None, self.changes + 1)

    def repeat(self, interval_s: float, now: datetime) -> AlertState:
        """Return how it stands when it is told again, where it is time to."""
        last = self.repeated_at or self.since
        if not (self.raised and interval_s and last is not None):
            return self
        if (now - last).total_seconds() < interval_s:
            return self
        return msgspec.structs.replace(self, repeats=self.repeats + 1, repeated_at=now)

    def changes_at(self, thresholds: AlertThresholds) -> datetime | None:
        """Return when it changes if the value stays as it is, where it is about to."""
        if self.pending_since is None:
            return None
        return self.pending_since + timedelta(
            seconds=thresholds.clear_after_s if self.raised else thresholds.raise_after_s
        )

    def retire(self, now: datetime) -> AlertState:
        """Return how it stands when nobody watches it any more: not raised."""
        if not self.raised:
            return msgspec.structs.replace(self, pending_since=None)
        return AlertState(False, now, now, None, self.changes + 1)
