"""The pace of a flow: its throttle, shared by all of its lanes and its retries."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from busway.clock import Clock
from busway.delivery.rate import Rate, Throttle
from busway.runtime.signal import Signal


class RateGrant(msgspec.Struct, frozen=True):
    """That ``count`` events were allowed to go, by which paces and when each of them did."""

    count: int
    grants: tuple[tuple[RateLimiter, float], ...]

    def refund(self, count: int) -> None:
        """Have so many of them not count, because they did not go."""
        if count:
            for pace, at in self.grants:
                pace.refund(at, count)


class RateLimiter:
    """Lets events go at a rate, first come first served; without a rate, at once.

    ``shared_limiters`` are the paces of limits that other flows keep to as well.
    """

    def __init__(
        self, rate: Rate | None, clock: Clock, shared_limiters: Sequence[RateLimiter] = ()
    ) -> None:
        self.declared = rate
        self._throttle = None if rate is None else Throttle(rate)
        self._clock = clock
        self.shared_limiters = shared_limiters
        self._override: Rate | None = None
        self._workers = 1
        self._queue_lock = asyncio.Lock()
        self._changed = Signal(clock)

    @property
    def rate(self) -> Rate | None:
        """The rate that holds now, without those of shared limits."""
        return None if self._throttle is None else self._throttle.rate

    def override(self, rate: Rate | None) -> None:
        """Hold another rate from now on, for who waits as well; ``None``: the declared one again.

        What was cut to the burst of the rate before goes at once, and is paid for by a longer wait.
        """
        self._override = rate
        self._apply()

    def share_among(self, workers: int) -> None:
        """Hold this worker's part from now on, where so many keep to the rate together."""
        if workers != self._workers:
            self._workers = workers
            self._apply()

    def _apply(self) -> None:
        wanted = self.declared if self._override is None else self._override
        if wanted is not None and self._workers > 1:
            wanted = wanted.divided(self._workers)
        if wanted == self.rate:
            return
        now = self._clock.monotonic()
        if wanted is None:
            self._throttle = None
        elif self._throttle is None:
            self._throttle = Throttle(wanted)
        else:
            self._throttle = self._throttle.with_rate(now, wanted)
        self._changed.notify()

    @property
    def burst(self) -> int | None:
        """How many events may go at once; ``None`` for any number."""
        own = [] if self._throttle is None else [self._throttle.rate.burst]
        return min(
            [*own, *(m for one in self.shared_limiters if (m := one.burst) is not None)],
            default=None,
        )

    async def acquire(self, count: int) -> RateGrant:
        """Return when ``count`` events may go."""
        paid: list[tuple[RateLimiter, float]] = []
        for one in (self, *self.shared_limiters):
            at = await one._acquire_own(count)
            if at is not None:
                paid.append((one, at))
        return RateGrant(count, tuple(paid))

    def refund(self, at: float, count: int) -> None:
        """Have ``count`` events not count that were allowed at a time."""
        if self._throttle is not None:
            self._throttle = self._throttle.refund(self._clock.monotonic(), at, count)
            self._changed.notify()

    async def _acquire_own(self, count: int) -> float | None:
        """Return when it allowed ``count`` events to go, ``None`` where it has no rate."""
        if self._throttle is None:
            return None
        async with self._queue_lock:
            while self._throttle is not None:
                now = self._clock.monotonic()
                wait_s = self._throttle.wait_s(now, count)
                if not wait_s:
                    self._throttle = self._throttle.consume(now, count)
                    return now
                await self._changed.wait(wait_s)
        return None
