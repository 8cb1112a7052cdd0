"""The following loop: learns of what other processes append, so that repeats are recognised."""

from __future__ import annotations

from busway.bus.append import Appender
from busway.clock import Clock
from busway.runtime.loop import Loop

AT_MOST_EVERY_S = 0.1


class Following:
    """Follows one partition of the log."""

    def __init__(self, appender: Appender, clock: Clock, partition: int) -> None:
        self._appender = appender
        self._clock = clock
        self._partition = partition

    async def turn(self, loop: Loop) -> None:
        """Wait for what others append, and learn it."""
        with loop.idle():
            await self._appender.follow(self._partition)
            await self._clock.sleep(AT_MOST_EVERY_S)
