"""The log as one SQLite file: a row for each batch, keyed by partition and offset."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from itertools import repeat
from pathlib import Path

import apsw

from busway import batch as codec
from busway.engine.recent import Recent
from busway.engine.sqlite import moment
from busway.engine.sqlite.appending import Append, Row
from busway.engine.sqlite.checkpoint import Checkpointer
from busway.engine.sqlite.database import connect, rows, sql
from busway.engine.sqlite.reader import OFFSET, LogReader
from busway.engine.sqlite.room import Room
from busway.engine.sqlite.writer import Writer
from busway.engine.tail import Tail
from busway.ports import Batch, Draft

_RECENT_BYTES = 16 * 1024 * 1024
_TRIM_ROWS = 1_000
_TRIM_BYTES = 8 * 1024 * 1024


class SqliteLog:
    """The log of the one process that holds the lock of the data directory."""

    _append: type[Append] = Append

    def __init__(self, path: Path, identity: str, room: Room) -> None:
        self._identity = identity
        self._room = room
        self._reader = LogReader(path)
        bounds = self._reader.bounds()
        self._bases = [base for base, _ in bounds]
        self._tail = Tail([end for _, end in bounds])
        self._recent = [Recent(_RECENT_BYTES // len(bounds)) for _ in bounds]
        self._checkpointer = Checkpointer(path)
        self._writer = Writer(connect(path), path)
        self._appending: asyncio.Future[list[int]] | None = None

    @property
    def identity(self) -> str:
        return self._identity

    @property
    def partitions(self) -> int:
        return len(self._bases)

    async def append(self, drafts: Sequence[Draft], at: datetime) -> Sequence[int]:
        while self._appending is not None and not self._appending.done():
            await asyncio.wait((self._appending,))  # it goes on, also when its caller does not
        if not drafts:
            return []
        batches = list(map(_row, drafts, self._offsets(drafts), repeat(moment.stored(at))))

        def landed(offsets: Sequence[int]) -> None:
            for draft, offset in zip(drafts, offsets, strict=True):
                self._keep(Batch(draft.partition, offset, at, draft.events))

        work = self._append(self._room, batches)
        self._appending = self._writer.submit(work, landed, single=True)
        return await asyncio.shield(self._appending)

    async def read(self, partition: int, offset: int, max_bytes: int) -> Sequence[Batch]:
        if offset >= self._tail.end(partition):
            return ()
        recent = self._recent[partition].read(offset, max_bytes)
        return recent or self._reader.read(partition, offset, max_bytes)

    async def bounds(self, partition: int) -> tuple[int, int]:
        return self._bases[partition], self._tail.end(partition)

    async def trim(self, partition: int, offset: int) -> int:
        trimmed = 0
        while gone := await self._writer.submit(_Trim(partition, offset), self._trimmed):
            trimmed += gone[1]
        return trimmed

    async def offset_at(self, partition: int, at: datetime) -> int:
        found = self._reader.first_since(partition, at)
        return self._tail.end(partition) if found is None else found

    async def appended_at(self, partition: int, offset: int) -> datetime | None:
        return self._reader.appended_at(partition, offset)

    async def size_bytes(self) -> int:
        return self._reader.size_bytes()

    async def wait(self, partition: int, offset: int) -> None:
        await self._tail.wait(partition, offset)

    async def maintain(self) -> None:
        await self._checkpointer.maintain()

    async def close(self) -> None:
        self._tail.release()
        self._reader.close()
        await self._writer.close()
        await self._checkpointer.close()

    def _offsets(self, drafts: Sequence[Draft]) -> list[int]:
        ends = [self._tail.end(partition) for partition in range(self.partitions)]
        offsets = []
        for draft in drafts:
            if not 0 <= draft.partition < self.partitions or not draft.events:
                raise ValueError(f"no events, or no such partition: {draft.partition}")
            offsets.append(ends[draft.partition])
            ends[draft.partition] += len(draft.events)
        return offsets

    def _keep(self, batch: Batch) -> None:
        self._recent[batch.partition].add(batch)
        self._tail.advance(batch.partition, batch.end)

    def _trimmed(self, gone: tuple[int, int] | None) -> None:
        if gone:
            partition, base = gone[0] >> 48, gone[0] & OFFSET
            self._bases[partition] = base
            self._recent[partition].forget(base)


def _row(draft: Draft, offset: int, at: int) -> Row:
    return draft.partition << 48 | offset, len(draft.events), at, codec.encode(draft.events)


class _Trim:
    """Deletes a bounded piece of what ends at or before an offset."""

    def __init__(self, partition: int, offset: int) -> None:
        self._partition = partition
        self._offset = min(max(offset, 0), OFFSET)

    def __call__(self, connection: apsw.Connection) -> tuple[int, int] | None:
        """Return the id up to which it is gone and the number of events, ``None`` for nothing."""
        found = (self._partition, self._offset, _TRIM_ROWS)
        upto, events, left = 0, 0, _TRIM_BYTES
        for key, count, size in rows(connection, "log/trimmable", found):
            upto, events, left = key + count, events + count, left - size
            if left < 0:
                break
        if not events:
            return None
        connection.execute(sql("log/trim"), (self._partition, upto))
        connection.execute(sql("log/set_base"), (self._partition, upto))
        return upto, events
