"""The log as one SQLite file: a row for each batch, keyed by partition and offset."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from itertools import repeat
from pathlib import Path
from typing import Any, NamedTuple

import apsw

from busway import batch_codec as codec
from busway.engine.batch_cache import BatchCache
from busway.engine.partition_end import PartitionEnds
from busway.engine.sqlite import timestamp
from busway.engine.sqlite.append import Append, BatchRow
from busway.engine.sqlite.checkpoint import Checkpointer
from busway.engine.sqlite.commit_thread import CommitThread
from busway.engine.sqlite.database import connect, fetch, sql
from busway.engine.sqlite.log_reader import OFFSET_MASK, LogReader
from busway.engine.sqlite.quota import Quota
from busway.ports import LogBatch, NewBatch, PartitionBounds

_CACHE_BYTES = 16 * 1024 * 1024
_TRIM_ROWS = 1_000
_TRIM_BYTES = 8 * 1024 * 1024


class SqliteLog:
    """The log of the one process that holds the lock of the data directory."""

    _append_type: type[Append] = Append

    def __init__(self, path: Path, identity: str, quota: Quota) -> None:
        self._identity = identity
        self._quota = quota
        self._reader = LogReader(path)
        bounds = self._reader.all_bounds()
        self._bases = [base for base, _ in bounds]
        self._ends = PartitionEnds([end for _, end in bounds])
        self._caches = [BatchCache(_CACHE_BYTES // len(bounds)) for _ in bounds]
        self._checkpointer = Checkpointer(path)
        self._writer = CommitThread(connect(path), path)
        self._append_in_flight: asyncio.Future[Any] | None = None
        """The work that advances ends; one at a time, because the ends place the next append."""

    @property
    def identity(self) -> str:
        return self._identity

    @property
    def partitions(self) -> int:
        return len(self._bases)

    async def append(self, new_batches: Sequence[NewBatch], at: datetime) -> Sequence[int]:
        await self._wait_for_append()
        if not new_batches:
            return []
        batches = list(
            map(
                _encode_batch,
                new_batches,
                self._next_offsets(new_batches),
                repeat(timestamp.to_microseconds(at)),
            )
        )

        def record(offsets: Sequence[int]) -> None:
            for draft, offset in zip(new_batches, offsets, strict=True):
                self._record(LogBatch(draft.partition, offset, at, draft.events))

        work = self._append_type(self._quota, batches)
        self._append_in_flight = appending = self._writer.submit(
            work, record, is_single_statement=True
        )
        return await asyncio.shield(appending)

    async def read(self, partition: int, offset: int, max_bytes: int) -> Sequence[LogBatch]:
        if offset >= self._ends.end(partition):
            return ()
        recent = self._caches[partition].read(offset, max_bytes)
        return recent or self._reader.read(partition, offset, max_bytes)

    async def bounds(self, partition: int) -> PartitionBounds:
        return PartitionBounds(self._bases[partition], self._ends.end(partition))

    async def trim(self, partition: int, offset: int) -> int:
        before, _ = await self.bounds(partition)
        while await self._writer.submit(_Trim(partition, offset), self._record_trim) is not None:
            pass
        return self._bases[partition] - before

    async def skip_to(self, partition: int, offset: int) -> int:
        def record(skipped: _Skipped) -> None:
            self._bases[partition] = skipped.bounds.start
            self._ends.advance(partition, skipped.bounds.end)

        await self._wait_for_append()
        self._append_in_flight = skipping = self._writer.submit(_SkipTo(partition, offset), record)
        return (await asyncio.shield(skipping)).end_before

    async def offset_at(self, partition: int, at: datetime) -> int:
        first = self._reader.first_offset_since(partition, at)
        return self._ends.end(partition) if first is None else first

    async def appended_at(self, partition: int, offset: int) -> datetime | None:
        return self._reader.appended_at(partition, offset)

    async def size_bytes(self) -> int:
        return self._reader.size_bytes()

    async def wait(self, partition: int, offset: int) -> None:
        await self._ends.wait(partition, offset)

    async def maintain(self) -> None:
        await self._checkpointer.maintain()

    async def close(self) -> None:
        self._ends.wake_all()
        self._reader.close()
        await self._writer.close()
        await self._checkpointer.close()

    async def _wait_for_append(self) -> None:
        """Wait for the work that advances ends: it continues if its caller is cancelled."""
        while self._append_in_flight is not None and not self._append_in_flight.done():
            await asyncio.wait((self._append_in_flight,))

    def _next_offsets(self, drafts: Sequence[NewBatch]) -> list[int]:
        ends = [self._ends.end(partition) for partition in range(self.partitions)]
        offsets = []
        for draft in drafts:
            if not 0 <= draft.partition < self.partitions or not draft.events:
                raise ValueError(f"no events, or no such partition: {draft.partition}")
            offsets.append(ends[draft.partition])
            ends[draft.partition] += len(draft.events)
        return offsets

    def _record(self, batch: LogBatch) -> None:
        self._caches[batch.partition].add(batch)
        self._ends.advance(batch.partition, batch.end)

    def _record_trim(self, first_id: int | None) -> None:
        if first_id is not None:
            partition, base = first_id >> 48, first_id & OFFSET_MASK
            self._bases[partition] = base
            self._caches[partition].evict_until(base)


def _encode_batch(draft: NewBatch, offset: int, at: int) -> BatchRow:
    return draft.partition << 48 | offset, len(draft.events), at, codec.encode_batch(draft.events)


class _Trim:
    """Deletes a bounded number of batches that end at or before an offset."""

    def __init__(self, partition: int, offset: int) -> None:
        self._partition = partition
        self._offset = min(max(offset, 0), OFFSET_MASK)

    def __call__(self, connection: apsw.Connection) -> int | None:
        """Return the id at which the partition now begins, ``None`` if nothing was deleted."""
        bindings = (self._partition, self._offset, _TRIM_ROWS)
        end_id, remaining = 0, _TRIM_BYTES
        for key, count, size in fetch(connection, "log/trimmable", bindings):
            end_id, remaining = key + count, remaining - size
            if remaining < 0:
                break
        if not end_id:
            return None
        connection.execute(sql("log/trim"), (self._partition, end_id))
        connection.execute(sql("log/set_base"), (self._partition, end_id))
        ((base_id, _),) = fetch(connection, "log/partition_bounds", (self._partition,))
        return int(base_id)


class _Skipped(NamedTuple):
    """The end of a partition before it was advanced, and its bounds after that."""

    end_before: int
    bounds: PartitionBounds


class _SkipTo:
    """Advances the end of a partition to an offset, unless it is there already."""

    def __init__(self, partition: int, offset: int) -> None:
        self._partition = partition
        self._offset = offset

    def __call__(self, connection: apsw.Connection) -> _Skipped:
        before = self._bounds(connection).end
        if before < self._offset:
            base = self._partition << 48 | self._offset
            connection.execute(sql("log/set_base"), (self._partition, base))
        return _Skipped(before, self._bounds(connection))

    def _bounds(self, connection: apsw.Connection) -> PartitionBounds:
        ((base, end),) = fetch(connection, "log/partition_bounds", (self._partition,))
        return PartitionBounds(base & OFFSET_MASK, end - (self._partition << 48))
