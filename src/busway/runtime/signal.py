"""A signal that something changed, for who waits for that, or for a time to pass."""

from __future__ import annotations

import asyncio

from busway.clock import Clock


class Signal:
    """Wakes everybody who waits for it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._event = asyncio.Event()

    def notify(self) -> None:
        """Wake who waits now."""
        self._event.set()
        self._event = asyncio.Event()

    async def wait(self, seconds: float | None) -> None:
        """Return at the next signal, or after ``seconds`` where they are given."""
        waiting: list[asyncio.Task[object]] = [asyncio.create_task(self._event.wait())]
        if seconds is not None:
            waiting.append(asyncio.create_task(self._sleep(seconds)))
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waiting:
                one.cancel()

    async def _sleep(self, seconds: float) -> None:
        await self._clock.sleep(seconds)
