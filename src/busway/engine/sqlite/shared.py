"""The log as one SQLite file that several processes of one machine have open together."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from busway.engine.sqlite.appending import SharedAppend
from busway.engine.sqlite.log import SqliteLog
from busway.engine.sqlite.room import Room
from busway.errors import StoreError
from busway.ports import Batch, Draft, Hints

LOOK_EVERY_S = 0.5


class SharedSqliteLog(SqliteLog):
    """What others append is learned by a hint, or by looking now and then; what is read is true."""

    _append = SharedAppend

    def __init__(self, path: Path, identity: str, room: Room, hints: Hints) -> None:
        super().__init__(path, identity, room)
        self._hints = hints
        hints.hear(self._look)
        self._looking = asyncio.create_task(self._look_forever(), name="look at the log")

    async def append(self, drafts: Sequence[Draft], at: datetime) -> Sequence[int]:
        offsets = await super().append(drafts, at)
        self._hints.tell()
        return offsets

    async def read(self, partition: int, offset: int, max_bytes: int) -> Sequence[Batch]:
        if offset >= self._tail.end(partition):
            self._learn(partition, self._reader.bound(partition))
        return await super().read(partition, offset, max_bytes)

    async def bounds(self, partition: int) -> tuple[int, int]:
        self._learn(partition, self._reader.bound(partition))
        return await super().bounds(partition)

    async def offset_at(self, partition: int, at: datetime) -> int:
        await self.bounds(partition)
        return await super().offset_at(partition, at)

    async def close(self) -> None:
        self._looking.cancel()
        await asyncio.wait((self._looking,))
        await super().close()

    def _look(self) -> None:
        if self._looking.done():
            return
        with contextlib.suppress(StoreError):
            for partition, bounds in enumerate(self._reader.bounds()):
                self._learn(partition, bounds)

    def _learn(self, partition: int, bounds: tuple[int, int]) -> None:
        base, end = bounds
        if base > self._bases[partition]:
            self._bases[partition] = base
            self._recent[partition].forget(base)
        self._tail.advance(partition, end)

    async def _look_forever(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            self._look()
