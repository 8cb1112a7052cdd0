"""Permits: how many requests are on their way at a time, first come first served."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

from busway.clock import Clock
from busway.concurrency import Adaptive, Concurrency
from busway.delivery.adaptive_concurrency import AdaptiveLimit, ResponseSample
from busway.ports import RequestPermits


class ConcurrencyLimiter:
    """The permits of one destination, or of one named limit; none while it is ``is_blocked``."""

    def __init__(
        self,
        declared: Concurrency | None,
        clock: Clock,
        is_blocked: Callable[[], bool] | None = None,
    ) -> None:
        self._is_blocked = is_blocked
        self.declared = declared
        self.in_flight = 0
        self._clock = clock
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._fixed: int | None = None
        self._adaptive: AdaptiveLimit | None = None
        self._cap: int | None = None
        self._apply(declared)

    @property
    def limit(self) -> int | None:
        """How many there are now; ``None`` for any number."""
        limit = self._adaptive.limit if self._adaptive is not None else self._fixed
        if self._cap is None or limit is None:
            return limit
        return min(limit, self._cap)

    def cap(self, limit: int | None) -> None:
        """Have no more than so many for now, where the destination limits the rate of requests."""
        if limit != self._cap:
            self._cap = limit
            self._wake()

    def override(self, concurrency: Concurrency | None) -> None:
        """Have so many from now on; ``None``: as many as are declared.

        Where there are fewer than are in use, the next ones wait until enough are given back.
        """
        self._apply(self.declared if concurrency is None else concurrency)
        self._wake()

    def _apply(self, concurrency: Concurrency | None) -> None:
        if isinstance(concurrency, Adaptive):
            self._adaptive, self._fixed = AdaptiveLimit.of(concurrency), None
        else:
            self._adaptive, self._fixed = None, concurrency

    async def acquire(self) -> bool:
        """Return when one more request may go; false if it is shut by then."""
        if not self._waiters and self._is_free():
            self.in_flight += 1
            return self._keep_unless_blocked()
        turn = asyncio.get_running_loop().create_future()
        self._waiters.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._return_permit()
            raise
        return self._keep_unless_blocked()

    def _keep_unless_blocked(self) -> bool:
        if self._is_blocked is None or not self._is_blocked():
            return True
        self._return_permit()
        return False

    def release(self, took_s: float | None = None, *, refused: bool = False) -> None:
        """Give one back, and learn from how its answer came."""
        if self._adaptive is not None and took_s is not None:
            began = self._clock.monotonic() - took_s
            self._adaptive = self._adaptive.after(
                ResponseSample(began, took_s, refused, self.in_flight)
            )
        self._return_permit()

    def _return_permit(self) -> None:
        self.in_flight -= 1
        self._wake()

    def _is_free(self) -> bool:
        limit = self.limit
        return limit is None or self.in_flight < limit

    def _wake(self) -> None:
        while self._waiters and self._is_free():
            turn = self._waiters.popleft()
            if not turn.done():
                self.in_flight += 1
                turn.set_result(None)


class CombinedPermits:
    """A permit of each of several kinds at once, always taken in the same order."""

    def __init__(self, permits: Sequence[RequestPermits]) -> None:
        self._permits = permits

    async def acquire(self) -> bool:
        """Return true when one of each kind is held, false when one of them gives no leave."""
        held: list[RequestPermits] = []
        try:
            for one in self._permits:
                if not await one.acquire():
                    break
                held.append(one)
        except BaseException:
            _release_all(held)
            raise
        if len(held) < len(self._permits):
            _release_all(held)
            return False
        return True

    def release(self, took_s: float | None = None, *, refused: bool = False) -> None:
        """Give one of each back."""
        for one in self._permits:
            one.release(took_s, refused=refused)


def _release_all(held: Sequence[RequestPermits]) -> None:
    for one in held:
        one.release()
