"""Readers on stores in memory, with a clock that is turned by hand."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec

from busway.bus.group_commit import Appender
from busway.control.source.reader import ReaderRecord, reader_records
from busway.control.source.record import SourceCounts, source_counts
from busway.ports import ReaderSource, Stores
from busway.runtime.reader.session import ReaderHost, ReaderSession
from busway.testing import ManualClock, memory_stores


class Installation:
    """Stores that stay, and processes on them that come and go."""

    def __init__(self, partitions: int = 2) -> None:
        self.clock = ManualClock()
        self.stores: Stores = memory_stores(partitions)

    @asynccontextmanager
    async def process(
        self, worker: str = "w", max_event_bytes: int = 10_000
    ) -> AsyncIterator[ReaderHost]:
        """Run a process that remembers no event of those before it."""
        appender = Appender(self.stores.log, self.clock, 0.0)
        await appender.load_recent()
        running = asyncio.create_task(appender.run())
        try:
            log, ledger = self.stores.log, self.stores.ledger
            yield ReaderHost(log, ledger, appender, self.clock, max_event_bytes, worker)
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running

    async def record(self, name: str) -> ReaderRecord:
        return (await reader_records(self.stores.ledger)).get(name, ReaderRecord())

    async def counts(self, name: str) -> SourceCounts:
        return (await source_counts(self.stores.ledger)).get(name, SourceCounts())

    async def logged(self) -> list[str]:
        """Return the ids of the events of the log, in any order."""
        ids = []
        for partition in range(self.stores.log.partitions):
            _, end = await self.stores.log.bounds(partition)
            offset = 0
            while offset < end:
                batches = await self.stores.log.read(partition, offset, 1_000_000)
                ids += [msgspec.json.decode(raw)["id"] for b in batches for raw in b.events]
                offset = batches[-1].end
        return ids


def always() -> bool:
    return True


async def opened(
    source: ReaderSource, host: ReaderHost, held: Callable[[], bool] = always
) -> ReaderSession:
    session = ReaderSession(source, host, held)
    await session.open()
    return session


async def read_one(session: ReaderSession) -> None:
    """Read and append one chunk, without saving the position."""
    await asyncio.wait([session.reading(lambda: None)])
    await session.advance()
