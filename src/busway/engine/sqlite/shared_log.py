"""The log as one SQLite file that several processes of one machine have open together."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from busway.engine.sqlite.append import SharedAppend
from busway.engine.sqlite.log import SqliteLog
from busway.engine.sqlite.quota import Quota
from busway.errors import StoreError
from busway.ports import LogBatch, NewBatch, PartitionBounds, WakeUps

POLL_INTERVAL_S = 0.5


class SharedSqliteLog(SqliteLog):
    """Learns of appends of other processes by a hint or by polling; the file tells the truth."""

    _append_type = SharedAppend

    def __init__(self, path: Path, identity: str, quota: Quota, wake_ups: WakeUps) -> None:
        super().__init__(path, identity, quota)
        self._wake_ups = wake_ups
        wake_ups.subscribe(self._poll)
        self._poll_task = asyncio.create_task(self._poll_forever(), name="busway-poll-log")

    async def append(self, new_batches: Sequence[NewBatch], at: datetime) -> Sequence[int]:
        offsets = await super().append(new_batches, at)
        self._wake_ups.notify()
        return offsets

    async def read(self, partition: int, offset: int, max_bytes: int) -> Sequence[LogBatch]:
        if offset >= self._ends.end(partition):
            self._update_bounds(partition, self._reader.bounds(partition))
        return await super().read(partition, offset, max_bytes)

    async def bounds(self, partition: int) -> PartitionBounds:
        self._update_bounds(partition, self._reader.bounds(partition))
        return await super().bounds(partition)

    async def offset_at(self, partition: int, at: datetime) -> int:
        await self.bounds(partition)
        return await super().offset_at(partition, at)

    async def close(self) -> None:
        self._poll_task.cancel()
        await asyncio.wait((self._poll_task,))
        await super().close()

    def _poll(self) -> None:
        if self._poll_task.done():
            return
        with contextlib.suppress(StoreError):
            for partition, bounds in enumerate(self._reader.all_bounds()):
                self._update_bounds(partition, bounds)

    def _update_bounds(self, partition: int, bounds: PartitionBounds) -> None:
        if bounds.start > self._bases[partition]:
            self._bases[partition] = bounds.start
            self._caches[partition].evict_until(bounds.start)
        self._ends.advance(partition, bounds.end)

    async def _poll_forever(self) -> None:
        while True:
            await asyncio.sleep(POLL_INTERVAL_S)
            self._poll()
