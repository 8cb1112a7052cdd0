"""How many requests a destination is given at a time, learned from how it answers. Pure.

::

    quick answers, all of it in use ──► one more for each round of answers (twice as many at first)
    slower than twice its quickest ──► a tenth fewer
    refused (429, 503, no answer)  ──► a third fewer
"""

from __future__ import annotations

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
_WINDOW_S = 30.0
"""How long the quickest answer is remembered at least, and half of the longest."""


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
    same congestion.
    """

    bounds: Adaptive
    ceiling: float
    quickest_s: float = 0.0
    before_s: float = 0.0
    """The quickest answer of the window before."""
    window_at: float = 0.0
    recent_s: float = 0.0
    cut_at: float | None = None

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
        if answer.refused:
            return self._cut(answer, _AFTER_REFUSAL)
        timed = self._timed(answer)
        floor_s = min(timed.quickest_s, timed.before_s or timed.quickest_s)
        if timed.recent_s > floor_s * SLOWER + SLACK_S:
            return timed._cut(answer, _AFTER_SLOW)
        if answer.in_flight < self.ceiling * _IN_USE:
            return timed
        return timed._set(self.ceiling + (1.0 if self.cut_at is None else 1.0 / self.ceiling))

    def _timed(self, answer: Answered) -> Adapting:
        """Return this with one more measured answer."""
        took_s, now = answer.took_s, answer.began + answer.took_s
        recent_s = self.recent_s + _SMOOTH * (took_s - self.recent_s) if self.recent_s else took_s
        if not self.quickest_s or now - self.window_at >= _WINDOW_S:
            changed = {"quickest_s": took_s, "before_s": self.quickest_s, "window_at": now}
        else:
            changed = {"quickest_s": min(self.quickest_s, took_s)}
        return msgspec.structs.replace(self, recent_s=recent_s, **changed)

    def _cut(self, answer: Answered, factor: float) -> Adapting:
        if self.cut_at is not None and answer.began < self.cut_at:
            return self
        cut_at = answer.began + answer.took_s
        return msgspec.structs.replace(
            self._set(self.ceiling * factor), cut_at=cut_at, recent_s=0.0
        )

    def _set(self, ceiling: float) -> Adapting:
        within = min(max(ceiling, float(self.bounds.least)), float(self.bounds.most))
        return msgspec.structs.replace(self, ceiling=within)
