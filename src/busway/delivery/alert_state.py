"""The state of an alert: when it is raised and cleared. Pure; time is passed in.

::

    clear ──breached──► clear, pending ──breached for the hold──► raised
      ▲                    │   ▲                                   │  ▲
      │               not breached                           cleared  not cleared
      │                    ▼                                       ▼  │
      └──cleared for its hold──────────────────────────── raised, pending

A value between the two thresholds is neither breached nor cleared: it changes nothing.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec


class AlertThresholds(msgspec.Struct, frozen=True):
    """Two thresholds, and how long a value must be beyond one of them.

    A value is breached above ``raise_at`` and cleared at or below ``clear_at``. With
    ``is_lower_bound`` it is breached below ``raise_at`` and cleared at or above ``clear_at``.
    """

    raise_at: float
    clear_at: float
    raise_after_s: float = 0.0
    clear_after_s: float = 0.0
    is_lower_bound: bool = False

    def is_breached(self, value: float) -> bool:
        """Return whether a value raises the alert."""
        return value < self.raise_at if self.is_lower_bound else value > self.raise_at

    def is_cleared(self, value: float) -> bool:
        """Return whether a value clears the alert."""
        return value >= self.clear_at if self.is_lower_bound else value <= self.clear_at


class AlertState(msgspec.Struct, frozen=True):
    """The state of an alert: raised or not, ``since`` when, after how many ``changes``.

    ``repeats`` counts the repetitions while raised, ``repeated_at`` is the time of the last one.
    ``breached_since`` is when the value crossed the threshold before the last change;
    ``pending_since`` is when it crossed the threshold for the next change.
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
        """Return the state after an observation; an unknown value (``None``) changes nothing."""
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
        """Return the state with one more repetition, if it is due."""
        last = self.repeated_at or self.since
        if not (self.raised and interval_s and last is not None):
            return self
        if (now - last).total_seconds() < interval_s:
            return self
        return msgspec.structs.replace(self, repeats=self.repeats + 1, repeated_at=now)

    def changes_at(self, thresholds: AlertThresholds) -> datetime | None:
        """Return when a pending change happens if the value stays the same."""
        if self.pending_since is None:
            return None
        return self.pending_since + timedelta(
            seconds=thresholds.clear_after_s if self.raised else thresholds.raise_after_s
        )

    def retire(self, now: datetime) -> AlertState:
        """Return the state once the alert is no longer watched: cleared."""
        if not self.raised:
            return msgspec.structs.replace(self, pending_since=None)
        return AlertState(False, now, now, None, self.changes + 1)
