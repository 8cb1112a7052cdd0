"""The log in PostgreSQL: a row for each batch, keyed by partition and offset."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Self

import msgspec

from busway import batch_codec as codec
from busway.engine.batch_cache import BatchCache
from busway.engine.partition_end import PartitionEnds
from busway.engine.postgres.append_sequence import AppendSequence
from busway.engine.postgres.database import Database
from busway.engine.postgres.log_watcher import PostgresLogWatcher
from busway.engine.postgres.vacuum import Vacuum
from busway.errors import StoreCorrupted, StoreError, StoreFull
from busway.ports import LogBatch, NewBatch, PartitionBounds

_CACHE_BYTES = 16 * 1024 * 1024
_READ_ROWS = 1_000
_TRIM_ROWS = 500


class PostgresLog:
    """Appends with one statement, which is one commit; any number of processes may append.

    After an append was abandoned, the log reads nothing from the server until it is certain whether
    that append was stored.
    """

    def __init__(
        self,
        database: Database,
        watcher: PostgresLogWatcher,
        identity: str,
        bounds: Sequence[PartitionBounds],
    ) -> None:
        self._database = database
        self._watcher = watcher
        self._identity = identity
        self._bases = [base for base, _ in bounds]
        self._ends = watcher.ends
        self._caches = [BatchCache(_CACHE_BYTES // len(bounds)) for _ in bounds]
        self._cached_generation = self.generation
        self._append_sequence = AppendSequence(database)
        self._max_bytes = 0
        self._vacuum = Vacuum(database)

    @classmethod
    async def open(cls, database: Database, identity: str, max_bytes: int = 0) -> Self:
        """Open the log of a migrated database; ``max_bytes`` of 0 sets no limit."""
        rows = await database.fetch("log/all_bounds")
        bounds = [PartitionBounds(base, end) for _, base, end in rows]
        watcher = PostgresLogWatcher(database, PartitionEnds([end for _, end in bounds]))
        log = cls(database, watcher, identity, bounds)
        log._max_bytes = max_bytes
        return log

    @property
    def identity(self) -> str:
        return self._identity

    @property
    def generation(self) -> int:
        return self._database.generation.number

    @property
    def partitions(self) -> int:
        return len(self._bases)

    async def append(self, new_batches: Sequence[NewBatch], at: datetime) -> Sequence[int]:
        if not new_batches:
            return []
        appending = asyncio.ensure_future(
            self._append(_AppendColumns.from_drafts(new_batches, self.partitions), at)
        )
        # it continues if the caller is cancelled: this process must learn what it stores
        return await asyncio.shield(appending)

    async def read(self, partition: int, offset: int, max_bytes: int) -> Sequence[LogBatch]:
        self._clear_stale_caches()
        recent = self._caches[partition].read(offset, max_bytes)
        if recent:
            return recent
        await self._append_sequence.resolve_uncertain()
        rows = await self._database.fetch("log/read", partition, offset, max_bytes, _READ_ROWS)
        batches = _contiguous(self._decode_batch(partition, *row) for row in rows)
        if batches:
            self._ends.advance(partition, batches[-1].end)
        elif (known := self._ends.end(partition)) > offset:
            await self.skip_to(partition, known)  # a failover has lost these events
        return batches

    async def bounds(self, partition: int) -> PartitionBounds:
        ((base, end),) = await self._database.fetch("log/partition_bounds", partition)
        self._ends.advance(partition, end)
        return PartitionBounds(base, end)

    async def trim(self, partition: int, offset: int) -> int:
        trimmed = 0
        while rows := await self._database.fetch("log/trim", partition, offset, _TRIM_ROWS):
            ((count, size),) = rows
            trimmed += count
            self._vacuum.record_trimmed(size)
        self._caches[partition].evict_until(offset)
        return trimmed

    async def skip_to(self, partition: int, offset: int) -> int:
        await self._append_sequence.resolve_uncertain()
        ((before,),) = await self._database.fetch("log/skip_to", partition, offset)
        self._ends.advance(partition, max(before, offset))
        return int(before)

    async def maintain(self) -> None:
        """Vacuum the table if enough was trimmed."""
        await self._vacuum.start_if_due(await self.size_bytes())

    async def offset_at(self, partition: int, at: datetime) -> int:
        ((first,),) = await self._database.fetch("log/first_offset_since", partition, at)
        return (await self.bounds(partition))[1] if first is None else int(first)

    async def appended_at(self, partition: int, offset: int) -> datetime | None:
        rows = await self._database.fetch("log/appended_at", partition, offset)
        return rows[0][0] if rows else None

    async def size_bytes(self) -> int:
        ((size,),) = await self._database.fetch("log/size_bytes")
        return int(size)

    async def wait(self, partition: int, offset: int) -> None:
        await self._watcher.wait(partition, offset)

    async def close(self) -> None:
        await self._vacuum.close()
        await self._append_sequence.close()
        await self._watcher.close()

    async def _append(self, columns: _AppendColumns, at: datetime) -> list[int]:
        if self._max_bytes and await self.size_bytes() + sum(columns.sizes) > self._max_bytes:
            raise StoreFull(
                f"{self._database.label}: the log has reached its limit of {self._max_bytes}"
                " bytes; raise BUSWAY_MAX_LOG_BYTES, or have the flows catch up"
            )
        ends = {partition: self._ends.end(partition) for partition in columns.totals}
        generation = self.generation
        rows = await self._append_sequence.run("log/append", at, *columns.values())
        first_offsets = {int(partition): int(offset) for partition, offset in rows}
        if not first_offsets:
            raise StoreError(f"{self._database.label}: the append came too late; send it again")
        await self._check_ends(ends, first_offsets)
        offsets = columns.offsets(first_offsets)
        self._clear_stale_caches()
        for draft, size, offset in zip(columns.drafts, columns.sizes, offsets, strict=True):
            batch = LogBatch(draft.partition, offset, at, draft.events)
            if self.generation == generation:
                self._caches[draft.partition].add(batch, size)
            self._ends.advance(draft.partition, offset + len(draft.events))
        self._watcher.notify()
        return offsets

    def _clear_stale_caches(self) -> None:
        if self._cached_generation != self.generation:
            self._cached_generation = self.generation
            for cache in self._caches:
                cache.clear()

    async def _check_ends(self, ends: Mapping[int, int], first_offsets: Mapping[int, int]) -> None:
        """Raise :class:`StoreError` if known events are lost, and let the partition skip past them.

        Lanes may have read other events at these offsets, and would never read the new ones.
        """
        lost = [partition for partition, first in first_offsets.items() if first < ends[partition]]
        for partition in lost:
            await self.skip_to(partition, ends[partition])
        if lost:
            raise StoreError(
                f"{self._database.label}: the server has lost acknowledged events, as happens in a"
                f" failover to a standby that lags; partitions {lost} continue after them:"
                " send the events again"
            )

    def _decode_batch(
        self, partition: int, offset: int, count: int, appended_at: datetime, body: bytes
    ) -> LogBatch:
        location = f"{self._database.label}, partition {partition}, offset {offset}"
        events = codec.decode_batch(body, location)
        if len(events) != count:
            raise StoreCorrupted(f"{location}: {len(events)} events, not {count}; restore a backup")
        return LogBatch(partition, offset, appended_at, events)


def _contiguous(batches: Iterable[LogBatch]) -> list[LogBatch]:
    """Return the batches up to the first gap."""
    contiguous: list[LogBatch] = []
    for batch in batches:
        if contiguous and contiguous[-1].end != batch.offset:
            break
        contiguous.append(batch)
    return contiguous


class _AppendColumns(msgspec.Struct, frozen=True):
    """Drafts as the columns of a statement.

    ``relative_offsets`` are their offsets from the first new one of their partition; ``totals`` the
    number and bytes of the new events of each partition.
    """

    drafts: Sequence[NewBatch]
    relative_offsets: list[int]
    sizes: list[int]
    totals: dict[int, tuple[int, int]]

    @classmethod
    def from_drafts(cls, drafts: Sequence[NewBatch], partitions: int) -> Self:
        totals: dict[int, tuple[int, int]] = {}
        relative_offsets, sizes = [], []
        for draft in drafts:
            if not 0 <= draft.partition < partitions or not draft.events:
                raise ValueError(f"no events, or no such partition: {draft.partition}")
            count, total = totals.get(draft.partition, (0, 0))
            relative_offsets.append(count)
            sizes.append(codec.size_bytes(draft.events))
            totals[draft.partition] = (count + len(draft.events), total + sizes[-1])
        return cls(drafts, relative_offsets, sizes, totals)

    def values(self) -> tuple[list[object], ...]:
        return (
            list(self.totals),
            [count for count, _ in self.totals.values()],
            [size for _, size in self.totals.values()],
            [draft.partition for draft in self.drafts],
            list(self.relative_offsets),
            [len(draft.events) for draft in self.drafts],
            list(self.sizes),
            [codec.encode_compressed(draft.events) for draft in self.drafts],
        )

    def offsets(self, first_offsets: dict[int, int]) -> list[int]:
        """Return the offset of each draft, from the first new one of each partition."""
        pairs = zip(self.drafts, self.relative_offsets, strict=True)
        return [first_offsets[draft.partition] + relative for draft, relative in pairs]
