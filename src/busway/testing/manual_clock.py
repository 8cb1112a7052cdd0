"""A clock that a test turns by hand, so that nothing waits for real."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from itertools import count

_START = datetime(2030, 1, 1, tzinfo=UTC)


class ManualClock:
    """Stands still until :meth:`advance`, which wakes every sleeper whose time has come, in order.

    >>> clock = ManualClock()
    >>> asyncio.run(clock.advance(1.5))
    >>> clock.monotonic(), clock.now().isoformat()
    (1.5, '2030-01-01T00:00:01.500000+00:00')
    """

    def __init__(self, start: datetime = _START) -> None:
        self._start = start
        self._seconds = 0.0
        self._order = count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._seconds)

    def wall_clock_offset(self) -> timedelta:
        return timedelta(0)

    def continue_from(self, time: datetime) -> bool:
        return False

    def monotonic(self) -> float:
        return self._seconds

    async def sleep(self, seconds: float) -> None:
        future = asyncio.get_running_loop().create_future()
        heappush(self._sleepers, (self._seconds + seconds, next(self._order), future))
        if seconds <= 0:
            self._wake()
        await future

    @property
    def sleepers(self) -> int:
        """How many are asleep: what a test waits for before it turns the clock."""
        return sum(not future.done() for _, _, future in self._sleepers)

    async def advance(self, seconds: float) -> None:
        """Let time pass; those who wake, and sleep again within it, wake again."""
        end = self._seconds + seconds
        await _run_ready_tasks()
        while self._sleepers and self._sleepers[0][0] <= end:
            self._seconds = max(self._seconds, self._sleepers[0][0])
            self._wake()
            await _run_ready_tasks()
        self._seconds = end

    def _wake(self) -> None:
        while self._sleepers and self._sleepers[0][0] <= self._seconds:
            future = heappop(self._sleepers)[2]
            if not future.done():
                future.set_result(None)


async def _run_ready_tasks() -> None:
    # whoever is ready runs, and whom they wake, without the time of the machine
    for _ in range(20):
        await asyncio.sleep(0)
