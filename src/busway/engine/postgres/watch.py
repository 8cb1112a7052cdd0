"""Learn that partitions have grown: by notification as a hint, by looking as the truth."""

from __future__ import annotations

import asyncio
import contextlib

from busway.engine.postgres.database import EXPECTED, Database
from busway.engine.tail import Tail
from busway.errors import StoreError

LOOK_EVERY_S = 0.5
_CHANNEL = "busway_log"


class Watch:
    """Moves a tail on, from the first wait until it is closed.

    Notifications are sent outside of the appends, on a connection of their own and together:
    PostgreSQL serialises the commits of transactions that notify.
    """

    def __init__(self, database: Database, tail: Tail) -> None:
        self.tail = tail
        self._database = database
        self._woken = asyncio.Event()
        self._untold = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._closed = False

    async def wait(self, partition: int, offset: int) -> None:
        """Return once the end is beyond ``offset``, or it was closed."""
        if self._closed or self.tail.end(partition) > offset:
            return
        self._begin()
        await self.tail.wait(partition, offset)

    def tell(self) -> None:
        """Have other processes look."""
        self._untold.set()
        self._begin()

    async def close(self) -> None:
        self._closed = True
        left = set(self._tasks)
        while left:  # the driver may lose a cancellation that comes with an answer
            for task in left:
                task.cancel()
            _, left = await asyncio.wait(left, timeout=1.0)
        self.tail.release()

    def _begin(self) -> None:
        if not self._tasks and not self._closed:
            self._tasks = [
                asyncio.create_task(work(), name=f"busway-{work.__name__.strip('_')}")
                for work in (self._listen, self._look, self._notify)
            ]

    async def _look(self) -> None:
        while True:
            with contextlib.suppress(StoreError):
                await self._look_once()
            self._woken.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._woken.wait()

    async def _look_once(self) -> None:
        known = self.tail.ends
        for partition, _, end in await self._database.quick("log/bounds"):
            self.tail.advance(partition, end)
            if end < known[partition]:  # a failover has lost something
                await self._database.quick("log/continue_at", partition, known[partition])

    async def _listen(self) -> None:
        while True:
            with contextlib.suppress(*EXPECTED):
                await self._listen_once()
            await asyncio.sleep(LOOK_EVERY_S)

    async def _listen_once(self) -> None:
        connection = await self._database.way.connect()
        ended = asyncio.Event()
        try:
            connection.add_termination_listener(lambda *_: ended.set())
            await connection.add_listener(_CHANNEL, lambda *_: self._woken.set())
            await ended.wait()
        finally:
            connection.terminate()

    async def _notify(self) -> None:
        while True:
            await self._untold.wait()
            self._untold.clear()
            with contextlib.suppress(StoreError):
                await self._database.rows("log/notify", _CHANNEL, "")
