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

INITIAL_LIMIT = 4
SLOW_FACTOR = 2.0
LATENCY_SLACK_S = 0.005
"""Answers that are slower by no more than this do not tell that it is busy."""
_SLOW_REDUCTION = 0.9
_REFUSAL_REDUCTION = 2 / 3
_MIN_UTILIZATION = 0.8
_SMOOTHING = 0.2
_MEASURE_INTERVAL_S = 30.0
_MEASURE_REDUCTION = 0.25


class ResponseSample(msgspec.Struct, frozen=True):
    """One answer: when its request began, how long it took, if it was refused, in seconds.

    ``in_flight`` is how many requests were on their way together with it.
    """

    started_at: float
    latency_s: float
    refused: bool
    in_flight: int


class AdaptiveLimit(msgspec.Struct, frozen=True):
    """How many may go at a time now, and what that was learned from.

    After a cut, answers to requests that had begun before it do not cut again: they tell of the
    same congestion. ``min_latency_s`` is the quickest answer of late. Every half minute it is
    measured anew, with a quarter of the requests for a moment: in a busy destination it would
    creep up.
    """

    bounds: Adaptive
    raw_limit: float
    slow_start_threshold: float = inf
    """Up to here it rises quickly."""
    min_latency_s: float = 0.0
    measured_at: float | None = None
    smoothed_latency_s: float = 0.0
    reduced_at: float = -inf

    @classmethod
    def of(cls, bounds: Adaptive) -> AdaptiveLimit:
        """Return what begins within bounds."""
        return cls(bounds, float(min(max(INITIAL_LIMIT, bounds.min_limit), bounds.max_limit)))

    @property
    def limit(self) -> int:
        """How many may be on their way."""
        return int(self.raw_limit)

    def after(self, sample: ResponseSample) -> AdaptiveLimit:
        """Return what is right after one more answer."""
        now = sample.started_at + sample.latency_s
        if sample.started_at < self.reduced_at:
            return self
        if sample.refused:
            return self._reduced(now, self.raw_limit * _REFUSAL_REDUCTION)
        if self.measured_at is not None and now - self.measured_at >= _MEASURE_INTERVAL_S:
            return self._measure_min_latency(now)
        return self._with_sample(sample, now)._increased(sample, now)

    def _increased(self, sample: ResponseSample, now: float) -> AdaptiveLimit:
        """Return what is right after an answer that has been measured."""
        if self.smoothed_latency_s > self.min_latency_s * SLOW_FACTOR + LATENCY_SLACK_S:
            return self._reduced(now, self.raw_limit * _SLOW_REDUCTION)
        if sample.in_flight < self.limit * _MIN_UTILIZATION:
            return self
        quick = self.raw_limit < self.slow_start_threshold
        return self._clamped(self.raw_limit + (1.0 if quick else 1.0 / self.raw_limit))

    def _with_sample(self, sample: ResponseSample, now: float) -> AdaptiveLimit:
        """Return this with one more measured answer."""
        took_s, recent_s = sample.latency_s, self.smoothed_latency_s
        recent_s = recent_s + _SMOOTHING * (took_s - recent_s) if recent_s else took_s
        quickest_s = min(self.min_latency_s, took_s) if self.min_latency_s else took_s
        measured_at = now if self.measured_at is None else self.measured_at
        return msgspec.structs.replace(
            self, smoothed_latency_s=recent_s, min_latency_s=quickest_s, measured_at=measured_at
        )

    def _measure_min_latency(self, now: float) -> AdaptiveLimit:
        """Return what measures the quickest answer with few requests, and comes back soon."""
        fewer = self._reduced(now, self.raw_limit * _MEASURE_REDUCTION)
        return msgspec.structs.replace(
            fewer,
            slow_start_threshold=self.raw_limit * _SLOW_REDUCTION,
            min_latency_s=0.0,
            measured_at=None,
        )

    def _reduced(self, now: float, raw_limit: float) -> AdaptiveLimit:
        cut = self._clamped(raw_limit)
        return msgspec.structs.replace(
            cut, reduced_at=now, smoothed_latency_s=0.0, slow_start_threshold=0.0
        )

    def _clamped(self, raw_limit: float) -> AdaptiveLimit:
        within = min(max(raw_limit, float(self.bounds.min_limit)), float(self.bounds.max_limit))
        return msgspec.structs.replace(self, raw_limit=within)
