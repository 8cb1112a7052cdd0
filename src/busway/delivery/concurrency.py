"""How many requests a destination is given at a time, learned from how it answers. Pure.

::

    quick answers, all of it in use ──► one more for each round of answers (twice as many at first)
    slower than twice its quickest ──► a tenth fewer
    refused (429, 503, no answer)  ──► a third fewer
    every half minute              ──► a quarter for a moment, to see how quick it can be
"""

from __future__ import annotations

from math import inf

import msgspec

from busway.concurrency import Adaptive

BEGIN = 4
SLOWER = 2.0
SLACK_S = 0.005
"""Answers that are slower by no more than this do not tell that it is busy."""
_AFTER_SLOW = 0.9
_AFTER_REFUSAL = 2 / 3
_IN_USE = 0.8
_SMOOTH = 0.2
_MEASURE_EVERY_S = 30.0
_TO_MEASURE = 0.25


class Answered(msgspec.Struct, frozen=True):
    """One answer: when its request began, how long it took, if it was refused, in seconds.

    ``in_flight`` is how many requests were on their way together with it.
    """

    began: float
    took_s: float
    refused: bool
    in_flight: int


class Adapting(msgspec.Struct, frozen=True):
    """How many may go at a time now, and what that was learned from.

    After a cut, answers to requests that had begun before it do not cut again: they tell of the
    same congestion. ``quickest_s`` is the quickest answer of late. Every half minute it is measured
    anew, with a quarter of the requests for a moment: in a busy destination it would creep up.
    """

    bounds: Adaptive
    ceiling: float
    fine_up_to: float = inf
    """Up to here it rises quickly."""
    quickest_s: float = 0.0
    measured_at: float | None = None
    recent_s: float = 0.0
    cut_at: float = -inf

    @classmethod
    def of(cls, bounds: Adaptive) -> Adapting:
        """Return what begins within bounds."""
        return cls(bounds, float(min(max(BEGIN, bounds.least), bounds.most)))

    @property
    def limit(self) -> int:
        """How many may be on their way."""
        return int(self.ceiling)

    def after(self, answer: Answered) -> Adapting:
        """Return what is right after one more answer."""
        now = answer.began + answer.took_s
        if answer.began < self.cut_at:
            return self
        if answer.refused:
            return self._cut(now, self.ceiling * _AFTER_REFUSAL)
        if self.measured_at is not None and now - self.measured_at >= _MEASURE_EVERY_S:
            return self._measuring(now)
        return self._timed(answer, now)._risen(answer, now)

    def _risen(self, answer: Answered, now: float) -> Adapting:
        """Return what is right after an answer that has been measured."""
        if self.recent_s > self.quickest_s * SLOWER + SLACK_S:
            return self._cut(now, self.ceiling * _AFTER_SLOW)
        if answer.in_flight < self.limit * _IN_USE:
            return self
        quick = self.ceiling < self.fine_up_to
        return self._set(self.ceiling + (1.0 if quick else 1.0 / self.ceiling))

    def _timed(self, answer: Answered, now: float) -> Adapting:
        """Return this with one more measured answer."""
        took_s, recent_s = answer.took_s, self.recent_s
        recent_s = recent_s + _SMOOTH * (took_s - recent_s) if recent_s else took_s
        quickest_s = min(self.quickest_s, took_s) if self.quickest_s else took_s
        measured_at = now if self.measured_at is None else self.measured_at
        return msgspec.structs.replace(
            self, recent_s=recent_s, quickest_s=quickest_s, measured_at=measured_at
        )

    def _measuring(self, now: float) -> Adapting:
        """Return what measures the quickest answer with few requests, and comes back soon."""
        fewer = self._cut(now, self.ceiling * _TO_MEASURE)
        return msgspec.structs.replace(
            fewer, fine_up_to=self.ceiling * _AFTER_SLOW, quickest_s=0.0, measured_at=None
        )

    def _cut(self, now: float, ceiling: float) -> Adapting:
        cut = self._set(ceiling)
        return msgspec.structs.replace(cut, cut_at=now, recent_s=0.0, fine_up_to=0.0)

    def _set(self, ceiling: float) -> Adapting:
        within = min(max(ceiling, float(self.bounds.least)), float(self.bounds.most))
        return msgspec.structs.replace(self, ceiling=within)
