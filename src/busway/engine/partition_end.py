"""The end of each partition of a log, and the tasks that wait for it to advance."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence


class PartitionEnds:
    """The ends of all partitions, in memory, for the tasks of one event loop."""

    def __init__(self, ends: Sequence[int]) -> None:
        self._ends = list(ends)
        self._waiters: list[set[asyncio.Future[None]]] = [set() for _ in ends]

    @property
    def ends(self) -> Sequence[int]:
        """The current ends of all partitions."""
        return tuple(self._ends)

    def end(self, partition: int) -> int:
        return self._ends[partition]

    def advance(self, partition: int, end: int) -> None:
        """Advance an end and wake the tasks that wait for it."""
        self._ends[partition] = max(end, self._ends[partition])
        self._wake_waiters(partition)

    async def wait(self, partition: int, offset: int) -> None:
        """Return once the end is beyond ``offset``, or the log is closed."""
        if self._ends[partition] > offset:
            return
        waiting = self._waiters[partition]
        future = asyncio.get_running_loop().create_future()
        waiting.add(future)
        try:
            await future
        finally:
            waiting.discard(future)

    def wake_all(self) -> None:
        """Wake all waiting tasks."""
        for partition in range(len(self._ends)):
            self._wake_waiters(partition)

    def _wake_waiters(self, partition: int) -> None:
        for future in self._waiters[partition]:
            if not future.done():
                future.set_result(None)
