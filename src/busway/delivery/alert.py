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


class Band(msgspec.Struct, frozen=True):
    """Two thresholds, and how long a value must be beyond one of them.

    A value above ``raise_at`` is over, one of ``clear_at`` or less is calm; with ``falling`` it is
    the other way round: over below ``raise_at``, calm from ``clear_at`` on.
    """

    raise_at: float
    clear_at: float
    hold_s: float = 0.0
    clear_hold_s: float = 0.0
    falling: bool = False

    def over(self, value: float) -> bool:
        """Say whether a value is one to raise an alert for."""
        return value < self.raise_at if self.falling else value > self.raise_at

    def calm(self, value: float) -> bool:
        """Say whether a value is one to clear an alert for."""
        return value >= self.clear_at if self.falling else value <= self.clear_at


class Watch(msgspec.Struct, frozen=True):
    """How an alert stands: raised or not, ``since`` when, after how many ``changes``.

    ``repeats`` is how often it was told again while raised, ``repeated_at`` when it was last.
    ``began`` is since when the value had been beyond the threshold when it changed; ``pending`` is
    since when it has been beyond the threshold for the next change.
    """

    raised: bool = False
    since: datetime | None = None
    began: datetime | None = None
    pending: datetime | None = None
    changes: int = 0
    repeats: int = 0
    repeated_at: datetime | None = None

    def looked(self, band: Band, value: float | None, now: datetime) -> Watch:
        """Return how it stands after a look; ``None`` is a value that is not known, and tells
        nothing."""
        if value is None:
            return self
        if not (band.calm(value) if self.raised else band.over(value)):
            return msgspec.structs.replace(self, pending=None)
        pending = self.pending or now
        hold_s = band.clear_hold_s if self.raised else band.hold_s
        if (now - pending).total_seconds() < hold_s:
            return msgspec.structs.replace(self, pending=pending)
        return Watch(not self.raised, now, pending, None, self.changes + 1)

    def again(self, every_s: float, now: datetime) -> Watch:
        """Return how it stands when it is told again, where it is time to."""
        last = self.repeated_at or self.since
        if not (self.raised and every_s and last is not None):
            return self
        if (now - last).total_seconds() < every_s:
            return self
        return msgspec.structs.replace(self, repeats=self.repeats + 1, repeated_at=now)

    def until(self, band: Band) -> datetime | None:
        """Return when it changes if the value stays as it is, where it is about to."""
        if self.pending is None:
            return None
        return self.pending + timedelta(seconds=band.clear_hold_s if self.raised else band.hold_s)

    def dropped(self, now: datetime) -> Watch:
        """Return how it stands when nobody watches it any more: not raised."""
        if not self.raised:
            return msgspec.structs.replace(self, pending=None)
        return Watch(False, now, now, None, self.changes + 1)
