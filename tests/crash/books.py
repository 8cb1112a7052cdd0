"""The log and the ledger as they are, beside whatever works on them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

from busway.control.conservation_check import check_conservation
from busway.control.flow.status import flow_statuses
from busway.engine.registry import open_stores
from busway.errors import StoreCorrupted, StoreError
from busway.event import Event
from busway.failed_event import FailedEventQuery
from busway.ports import Log, Stores
from busway.settings import load_settings
from crash.answer import answered
from crash.progress import Progress

LOOK_EVERY_S = 0.5
READ_BYTES = 1 << 22


class Books:
    """Reads what is kept, and checks that it adds up."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    async def check(self) -> None:
        """Verify that every event of every flow is in exactly one place."""
        found = await answered(
            lambda: check_conservation(self._stores.log, self._stores.ledger), _passes
        )
        assert not found, found

    async def left(self) -> Mapping[str, tuple[int, int]]:
        """Return what each flow has before it: its backlog, and what is parked."""
        stores = self._stores
        found = await answered(lambda: flow_statuses(stores.log, stores.ledger), _passes)
        return {one.name: (one.backlog, one.parked) for one in found}

    async def until_settled(
        self, jobs: Callable[[], Awaitable[int]], errors: Callable[[], str]
    ) -> None:
        """Return once no flow has anything left to do, and no ``jobs`` either."""
        progress = Progress()
        while True:
            left = await self.left()
            before = await jobs() + sum(map(sum, left.values()))
            if not before:
                return
            if progress.stuck(before):
                waiting = await self._stores.ledger.failed_events(
                    FailedEventQuery(state="parked", limit=20)
                )
                seen = [
                    (t.flow, t.key, t.offset, t.attempts, t.due, t.attempt_started_at)
                    for t in waiting
                ]
                raise AssertionError(f"stuck: {left}, {before} in all; {seen}; {errors()[-4000:]}")
            await asyncio.sleep(LOOK_EVERY_S)

    async def events(self) -> list[Event]:
        """Return all that is in the log."""
        log = self._stores.log
        return [
            Event.from_json(raw)
            for partition in range(log.partitions)
            for raw in await _raws(log, partition)
        ]


def _passes(error: Exception) -> bool:
    return isinstance(error, StoreError) and not isinstance(error, StoreCorrupted)


async def _raws(log: Log, partition: int) -> list[bytes]:
    found: list[bytes] = []
    offset, end = await log.bounds(partition)
    assert offset == 0, "nothing is forgotten that early"
    while offset < end:
        for batch in await log.read(partition, offset, READ_BYTES):
            found += batch.events
            offset = batch.end
    return found


@asynccontextmanager
async def books_of(engine: Mapping[str, str]) -> AsyncIterator[Books]:
    """Open the books of the engine that these variables name."""
    stores = await open_stores(load_settings(engine))
    try:
        yield Books(stores)
    finally:
        await stores.close()
