"""Counts what comes from one request source, and says whether it is paused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta

import msgspec

from busway.clock import Clock
from busway.control.source.record import LastRefusal, SourceCounts
from busway.ports import AppendReceipt, RequestRefusal

MAX_CODES = 50
"""How many codes of refusals are counted one by one; those beyond count as ``other``."""
_TEXT_CHARACTERS = 500


class SourceMetrics(msgspec.Struct, frozen=True):
    """Events by outcome (``accepted``, ``duplicate``), and refused requests by code."""

    events: Mapping[str, int]
    refusals: Mapping[str, int]


class SourceMonitor:
    """The counts of one source since they were taken last; called for each request."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.paused = ""
        self._codes: set[str] = set()
        self._events: Counter[str] = Counter()
        self._refusals: Counter[str] = Counter()
        self._untaken = SourceCounts()
        self._accepted = self._duplicates = 0
        self._received_s: float | None = None
        self._refused: Counter[str] = Counter()
        self._last: tuple[RequestRefusal, float] | None = None

    def accepted(self, appended: AppendReceipt, at_s: float) -> None:
        """Count events that are durable; ``at_s`` is when their request came, monotonic."""
        self._accepted += appended.accepted
        self._duplicates += appended.duplicates
        self._received_s = at_s if appended.accepted or appended.duplicates else self._received_s

    def refused(self, refusal: RequestRefusal, at_s: float) -> None:
        """Count a refused request."""
        known = refusal.code in self._codes or len(self._codes) < MAX_CODES
        code = refusal.code if known else "other"
        self._codes.add(code)
        self._refused[code] += 1
        self._last = (refusal, at_s)

    def take(self) -> SourceCounts:
        """Return what was counted since the last time."""
        self._gather()
        self._untaken, counts = SourceCounts(), self._untaken
        return counts

    def take_metrics(self) -> SourceMetrics:
        """Return what was counted since the metrics were brought up to date last."""
        self._gather()
        taken = SourceMetrics(dict(self._events), dict(self._refusals))
        self._events.clear()
        self._refusals.clear()
        return taken

    def put_back(self, counts: SourceCounts) -> None:
        """Take counts back that could not be kept."""
        self._untaken = counts + self._untaken

    def _gather(self) -> None:
        fresh = SourceCounts(
            accepted=self._accepted,
            duplicates=self._duplicates,
            refused=dict(self._refused),
            received_at=None if self._received_s is None else self._time(self._received_s),
            last_refusal=None if self._last is None else self._refusal(*self._last),
        )
        self._events.update(accepted=self._accepted, duplicate=self._duplicates)
        self._refusals.update(self._refused)
        self._accepted = self._duplicates = 0
        self._received_s = self._last = None
        self._refused.clear()
        self._untaken += fresh

    def _refusal(self, refusal: RequestRefusal, at_s: float) -> LastRefusal:
        text = refusal.detail
        if refusal.faults:
            text = f"{text}: {refusal.faults[0].reason}"
        return LastRefusal(self._time(at_s), refusal.code, text[:_TEXT_CHARACTERS])

    def _time(self, at_s: float) -> datetime:
        ago = max(0.0, self._clock.monotonic() - at_s)
        return self._clock.now() - timedelta(seconds=ago)
