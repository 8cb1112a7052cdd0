"""The following loop: learns of what other processes append, so that repeats are recognised."""

from __future__ import annotations

from busway.bus.group_commit import Appender
from busway.runtime.loop import Loop


class DedupeFollower:
    """Follows one partition of the log, where this process appends itself."""

    def __init__(self, appender: Appender, partition: int) -> None:
        self._appender = appender
        self._partition = partition

    async def run_once(self, loop: Loop) -> None:
        """Wait for what others append, and learn it."""
        with loop.interruptible():
            await self._appender.follow(self._partition)
