"""The adaptive concurrency limit of a destination, learned from its responses. Pure.

::

    fast responses, limit in use      ──► one more per round of responses (at first: double)
    slower than twice the minimum     ──► a tenth less
    refused (429, 503, no response)   ──► a third less
    every 30 seconds                  ──► a quarter for a moment, to measure the minimum latency
"""

from __future__ import annotations

from math import inf

import msgspec

from busway.concurrency import Adaptive

INITIAL_LIMIT = 4
SLOW_FACTOR = 2.0
LATENCY_SLACK_S = 0.005
"""Responses that are slower by at most this do not count as slow."""
_SLOW_REDUCTION = 0.9
_REFUSAL_REDUCTION = 2 / 3
_MIN_UTILIZATION = 0.8
_SMOOTHING = 0.2
_MEASURE_INTERVAL_S = 30.0
_MEASURE_REDUCTION = 0.25


class ResponseSample(msgspec.Struct, frozen=True):
    """One response: when its request started, its latency in seconds, and whether it was refused.

    ``in_flight`` is the number of requests in flight together with it.
    """

    started_at: float
    latency_s: float
    refused: bool
    in_flight: int


class AdaptiveLimit(msgspec.Struct, frozen=True):
    """The current limit and the measurements behind it.

    After a reduction, responses to requests that started before it do not reduce the limit again:
    they show the same congestion. ``min_latency_s`` is the recent minimum latency. Every 30 seconds
    it is measured again with a quarter of the requests, because it would rise slowly under load.
    """

    bounds: Adaptive
    raw_limit: float
    slow_start_threshold: float = inf
    """The limit rises fast up to this value."""
    min_latency_s: float = 0.0
    measured_at: float | None = None
    smoothed_latency_s: float = 0.0
    reduced_at: float = -inf

    @classmethod
    def of(cls, bounds: Adaptive) -> AdaptiveLimit:
        """Return the initial limit within bounds."""
        return cls(bounds, float(min(max(INITIAL_LIMIT, bounds.min_limit), bounds.max_limit)))

    @property
    def limit(self) -> int:
        """The maximum number of requests in flight."""
        return int(self.raw_limit)

    def after(self, sample: ResponseSample) -> AdaptiveLimit:
        """Return the limit after one more response."""
        now = sample.started_at + sample.latency_s
        if sample.started_at < self.reduced_at:
            return self
        if sample.refused:
            return self._reduced(now, self.raw_limit * _REFUSAL_REDUCTION)
        if self.measured_at is not None and now - self.measured_at >= _MEASURE_INTERVAL_S:
            return self._measure_min_latency(now)
        return self._with_sample(sample, now)._increased(sample, now)

    def _increased(self, sample: ResponseSample, now: float) -> AdaptiveLimit:
        """Return the limit after a response that has been measured."""
        if self.smoothed_latency_s > self.min_latency_s * SLOW_FACTOR + LATENCY_SLACK_S:
            return self._reduced(now, self.raw_limit * _SLOW_REDUCTION)
        if sample.in_flight < self.limit * _MIN_UTILIZATION:
            return self
        is_slow_start = self.raw_limit < self.slow_start_threshold
        return self._clamped(self.raw_limit + (1.0 if is_slow_start else 1.0 / self.raw_limit))

    def _with_sample(self, sample: ResponseSample, now: float) -> AdaptiveLimit:
        """Return the limit with one more measured response."""
        latency_s, smoothed_s = sample.latency_s, self.smoothed_latency_s
        smoothed_s = smoothed_s + _SMOOTHING * (latency_s - smoothed_s) if smoothed_s else latency_s
        quickest_s = min(self.min_latency_s, latency_s) if self.min_latency_s else latency_s
        measured_at = now if self.measured_at is None else self.measured_at
        return msgspec.structs.replace(
            self, smoothed_latency_s=smoothed_s, min_latency_s=quickest_s, measured_at=measured_at
        )

    def _measure_min_latency(self, now: float) -> AdaptiveLimit:
        """Return a limit that measures the minimum latency with few requests and recovers fast."""
        reduced = self._reduced(now, self.raw_limit * _MEASURE_REDUCTION)
        return msgspec.structs.replace(
            reduced,
            slow_start_threshold=self.raw_limit * _SLOW_REDUCTION,
            min_latency_s=0.0,
            measured_at=None,
        )

    def _reduced(self, now: float, raw_limit: float) -> AdaptiveLimit:
        reduced = self._clamped(raw_limit)
        return msgspec.structs.replace(
            reduced, reduced_at=now, smoothed_latency_s=0.0, slow_start_threshold=0.0
        )

    def _clamped(self, raw_limit: float) -> AdaptiveLimit:
        within = min(max(raw_limit, float(self.bounds.min_limit)), float(self.bounds.max_limit))
        return msgspec.structs.replace(self, raw_limit=within)
