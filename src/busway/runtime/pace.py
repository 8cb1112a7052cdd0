"""The pace of a flow: its throttle, shared by all of its lanes and its retries."""

from __future__ import annotations

import asyncio

from busway.clock import Clock
from busway.delivery.throttle import Rate, Throttle


class Pace:
    """Lets events go at a rate, first come first served; without a rate, at once."""

    def __init__(self, rate: Rate | None, clock: Clock) -> None:
        self._throttle = None if rate is None else Throttle(rate)
        self._clock = clock
        self._turn = asyncio.Lock()

    @property
    def most(self) -> int | None:
        """How many events may go at once; ``None`` for any number."""
        return None if self._throttle is None else self._throttle.rate.burst

    async def allow(self, count: int) -> None:
        """Return when ``count`` events may go."""
        if self._throttle is None:
            return
        async with self._turn:
            while wait_s := self._throttle.wait_s(self._clock.monotonic()):
                await self._clock.sleep(wait_s)
            self._throttle = self._throttle.used(self._clock.monotonic(), count)
