"""Learn that partitions have grown: notifications are hints, polling tells the truth."""

from __future__ import annotations

import asyncio
import contextlib

from busway.driver.postgres.error import DRIVER_ERRORS
from busway.engine.partition_end import PartitionEnds
from busway.engine.postgres.database import Database
from busway.errors import StoreError

POLL_INTERVAL_S = 0.5
_CHANNEL = "busway_log"


class PostgresLogWatcher:
    """Advances the ends of partitions, from the first wait until it is closed.

    It sends notifications outside of the appends, many in one, on their own connection: PostgreSQL
    serializes the commits of transactions that notify.
    """

    def __init__(self, database: Database, ends: PartitionEnds) -> None:
        self.ends = ends
        self._database = database
        self._wake = asyncio.Event()
        self._notify_due = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._closed = False

    async def wait(self, partition: int, offset: int) -> None:
        """Return once the end is beyond ``offset``, or the watcher is closed."""
        if self._closed or self.ends.end(partition) > offset:
            return
        self._start()
        await self.ends.wait(partition, offset)

    def notify(self) -> None:
        """Let other processes poll."""
        self._notify_due.set()
        self._start()

    async def close(self) -> None:
        self._closed = True
        running = set(self._tasks)
        while running:  # asyncpg may lose a cancellation that arrives together with a reply
            for task in running:
                task.cancel()
            _, running = await asyncio.wait(running, timeout=1.0)
        self.ends.wake_all()

    def _start(self) -> None:
        if not self._tasks and not self._closed:
            self._tasks = [
                asyncio.create_task(work(), name=f"busway-{work.__name__.strip('_')}")
                for work in (self._listen, self._poll, self._notify)
            ]

    async def _poll(self) -> None:
        while True:
            with contextlib.suppress(StoreError):
                await self._poll_once()
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_INTERVAL_S):
                    await self._wake.wait()

    async def _poll_once(self) -> None:
        known = self.ends.ends
        for partition, _, end in await self._database.fetch_quickly("log/all_bounds"):
            self.ends.advance(partition, end)
            if end < known[partition]:  # a failover has lost events
                await self._database.fetch_quickly("log/skip_to", partition, known[partition])

    async def _listen(self) -> None:
        while True:
            with contextlib.suppress(*DRIVER_ERRORS):
                await self._listen_once()
            await asyncio.sleep(POLL_INTERVAL_S)

    async def _listen_once(self) -> None:
        connection = await self._database.connector.connect()
        ended = asyncio.Event()
        try:
            connection.add_termination_listener(lambda *_: ended.set())
            await connection.add_listener(_CHANNEL, lambda *_: self._wake.set())
            await ended.wait()
        finally:
            connection.terminate()

    async def _notify(self) -> None:
        while True:
            await self._notify_due.wait()
            self._notify_due.clear()
            with contextlib.suppress(StoreError):
                await self._database.fetch("log/notify", _CHANNEL, "")
