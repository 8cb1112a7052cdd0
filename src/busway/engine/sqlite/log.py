"""The log as one SQLite file: a row for each batch, keyed by partition and offset."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from itertools import repeat
from pathlib import Path
from typing import Any

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
        self._appending: asyncio.Future[Any] | None = None
        """What moves ends on; one at a time, as an append is placed by where they are."""

    @property
    def identity(self) -> str:
        return self._identity

    @property
    def partitions(self) -> int:
        return len(self._bases)

    async def append(self, drafts: Sequence[Draft], at: datetime) -> Sequence[int]:
        await self._appended()
        if not drafts:
            return []
        batches = list(map(_row, drafts, self._offsets(drafts), repeat(moment.stored(at))))

        def landed(offsets: Sequence[int]) -> None:
            for draft, offset in zip(drafts, offsets, strict=True):
                self._keep(Batch(draft.partition, offset, at, draft.events))

        work = self._append(self._room, batches)
        self._appending = appending = self._writer.submit(work, landed, single=True)
        return await asyncio.shield(appending)

    async def read(self, partition: int, offset: int, max_bytes: int) -> Sequence[Batch]:
        if offset >= self._tail.end(partition):
            return ()
        recent = self._recent[partition].read(offset, max_bytes)
        return recent or self._reader.read(partition, offset, max_bytes)

    async def bounds(self, partition: int) -> tuple[int, int]:
        return self._bases[partition], self._tail.end(partition)

    async def trim(self, partition: int, offset: int) -> int:
        before, _ = await self.bounds(partition)
        while await self._writer.submit(_Trim(partition, offset), self._trimmed) is not None:
            pass
        return self._bases[partition] - before

    async def continue_at(self, partition: int, offset: int) -> int:
        def moved(bounds: tuple[int, int, int]) -> None:
            _, self._bases[partition], end = bounds
            self._tail.advance(partition, end)

        await self._appended()
        self._appending = moving = self._writer.submit(_Continue(partition, offset), moved)
        before, *_ = await asyncio.shield(moving)
        return before

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

    async def _appended(self) -> None:
        """Wait for what moves ends on: it goes on, also when its caller does not."""
        while self._appending is not None and not self._appending.done():
            await asyncio.wait((self._appending,))

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

    def _trimmed(self, begins: int | None) -> None:
        if begins is not None:
            partition, base = begins >> 48, begins & OFFSET
            self._bases[partition] = base
            self._recent[partition].forget(base)


def _row(draft: Draft, offset: int, at: int) -> Row:
    return draft.partition << 48 | offset, len(draft.events), at, codec.encode(draft.events)


class _Trim:
    """Deletes a bounded piece of what ends at or before an offset."""

    def __init__(self, partition: int, offset: int) -> None:
        self._partition = partition
        self._offset = min(max(offset, 0), OFFSET)

    def __call__(self, connection: apsw.Connection) -> int | None:
        """Return the id at which the partition begins now, ``None`` where nothing was to go."""
        found = (self._partition, self._offset, _TRIM_ROWS)
        upto, left = 0, _TRIM_BYTES
        for key, count, size in rows(connection, "log/trimmable", found):
            upto, left = key + count, left - size
            if left < 0:
                break
        if not upto:
            return None
        connection.execute(sql("log/trim"), (self._partition, upto))
        connection.execute(sql("log/set_base"), (self._partition, upto))
        ((begins, _),) = rows(connection, "log/bound", (self._partition,))
        return int(begins)


class _Continue:
    """Has a partition that ends before an offset go on there."""

    def __init__(self, partition: int, offset: int) -> None:
        self._partition = partition
        self._offset = offset

    def __call__(self, connection: apsw.Connection) -> tuple[int, int, int]:
        """Return where the partition ended, and where it begins and ends now."""
        _, before = self._bounds(connection)
        if before < self._offset:
            base = self._partition << 48 | self._offset
            connection.execute(sql("log/set_base"), (self._partition, base))
        return before, *self._bounds(connection)

    def _bounds(self, connection: apsw.Connection) -> tuple[int, int]:
        ((base, end),) = rows(connection, "log/bound", (self._partition,))
        return base & OFFSET, end - (self._partition << 48)
