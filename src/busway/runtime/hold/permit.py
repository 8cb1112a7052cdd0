"""Permits: how many requests are on their way at a time, first come first served."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

from busway.clock import Clock
from busway.concurrency import Adaptive, Concurrency
from busway.delivery.concurrency import Adapting, Answered
from busway.ports import Permits


class Slots:
    """The permits of one destination, or of one named limit; none while it is ``shut``."""

    def __init__(
        self,
        declared: Concurrency | None,
        clock: Clock,
        shut: Callable[[], bool] | None = None,
    ) -> None:
        self._shut = shut
        self.declared = declared
        self.in_flight = 0
        self._clock = clock
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._fixed: int | None = None
        self._adapting: Adapting | None = None
        self._slow: int | None = None
        self._hold(declared)

    @property
    def limit(self) -> int | None:
        """How many there are now; ``None`` for any number."""
        limit = self._adapting.limit if self._adapting is not None else self._fixed
        if self._slow is None or limit is None:
            return limit
        return min(limit, self._slow)

    def slow_down(self, limit: int | None) -> None:
        """Have no more than so many for now, where the destination limits the rate of requests."""
        if limit != self._slow:
            self._slow = limit
            self._wake()

    def change(self, concurrency: Concurrency | None) -> None:
        """Have so many from now on; ``None``: as many as are declared.

        Where there are fewer than are in use, the next ones wait until enough are given back.
        """
        self._hold(self.declared if concurrency is None else concurrency)
        self._wake()

    def _hold(self, concurrency: Concurrency | None) -> None:
        if isinstance(concurrency, Adaptive):
            self._adapting, self._fixed = Adapting.of(concurrency), None
        else:
            self._adapting, self._fixed = None, concurrency

    async def acquire(self) -> bool:
        """Return when one more request may go; false if it is shut by then."""
        if not self._waiting and self._is_free():
            self.in_flight += 1
            return self._still_open()
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._give_back()
            raise
        return self._still_open()

    def _still_open(self) -> bool:
        if self._shut is None or not self._shut():
            return True
        self._give_back()
        return False

    def release(self, took_s: float | None = None, *, refused: bool = False) -> None:
        """Give one back, and learn from how its answer came."""
        if self._adapting is not None and took_s is not None:
            began = self._clock.monotonic() - took_s
            self._adapting = self._adapting.after(Answered(began, took_s, refused, self.in_flight))
        self._give_back()

    def _give_back(self) -> None:
        self.in_flight -= 1
        self._wake()

    def _is_free(self) -> bool:
        limit = self.limit
        return limit is None or self.in_flight < limit

    def _wake(self) -> None:
        while self._waiting and self._is_free():
            turn = self._waiting.popleft()
            if not turn.done():
                self.in_flight += 1
                turn.set_result(None)


class Together:
    """A permit of each of several kinds at once, always taken in the same order."""

    def __init__(self, kinds: Sequence[Permits]) -> None:
        self._kinds = kinds

    async def acquire(self) -> bool:
        """Return true when one of each kind is held, false when one of them gives no leave."""
        held: list[Permits] = []
        try:
            for one in self._kinds:
                if not await one.acquire():
                    break
                held.append(one)
        except BaseException:
            _release(held)
            raise
        if len(held) < len(self._kinds):
            _release(held)
            return False
        return True

    def release(self, took_s: float | None = None, *, refused: bool = False) -> None:
        """Give one of each back."""
        for one in self._kinds:
            one.release(took_s, refused=refused)


def _release(held: Sequence[Permits]) -> None:
    for one in held:
        one.release()
