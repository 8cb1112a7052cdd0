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
    """Appends with one statement, which is one commit; any number of processes may.

    After an append that was given up, nothing is read from the server before it is certain that it
    landed, or never will.
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
        """Open the log of a database that is prepared; ``max_bytes`` of 0 sets no limit."""
        rows = await database.fetch("log/all_bounds")
        bounds = [PartitionBounds(base, end) for _, base, end in rows]
        watch = PostgresLogWatcher(database, PartitionEnds([end for _, end in bounds]))
        log = cls(database, watch, identity, bounds)
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
        # it goes on, also when its caller does not: what it stores must be known here
        return await asyncio.shield(appending)

    async def read(self, partition: int, offset: int, max_bytes: int) -> Sequence[LogBatch]:
        self._clear_stale_caches()
        recent = self._caches[partition].read(offset, max_bytes)
        if recent:
            return recent
        await self._append_sequence.resolve_uncertain()
        found = await self._database.fetch("log/read", partition, offset, max_bytes, _READ_ROWS)
        batches = _contiguous(self._decode_batch(partition, *row) for row in found)
        if batches:
            self._ends.advance(partition, batches[-1].end)
        elif (known := self._ends.end(partition)) > offset:
            await self.skip_to(partition, known)  # where a failover has lost it
        return batches

    async def bounds(self, partition: int) -> PartitionBounds:
        ((base, end),) = await self._database.fetch("log/partition_bounds", partition)
        self._ends.advance(partition, end)
        return PartitionBounds(base, end)

    async def trim(self, partition: int, offset: int) -> int:
        trimmed = 0
        while gone := await self._database.fetch("log/trim", partition, offset, _TRIM_ROWS):
            trimmed += gone[0][0]
            self._vacuum.record_trimmed(gone[0][1])
        self._caches[partition].evict_until(offset)
        return trimmed

    async def skip_to(self, partition: int, offset: int) -> int:
        await self._append_sequence.resolve_uncertain()
        ((before,),) = await self._database.fetch("log/skip_to", partition, offset)
        self._ends.advance(partition, max(before, offset))
        return int(before)

    async def maintain(self) -> None:
        """Make what was trimmed room for what comes, when it is worth it."""
        await self._vacuum.start_if_due(await self.size_bytes())

    async def offset_at(self, partition: int, at: datetime) -> int:
        ((found,),) = await self._database.fetch("log/first_offset_since", partition, at)
        return (await self.bounds(partition))[1] if found is None else int(found)

    async def appended_at(self, partition: int, offset: int) -> datetime | None:
        found = await self._database.fetch("log/appended_at", partition, offset)
        return found[0][0] if found else None

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
        era = self.generation
        rows = await self._append_sequence.run("log/append", at, *columns.values())
        found = {int(partition): int(offset) for partition, offset in rows}
        if not found:
            raise StoreError(f"{self._database.label}: the append came too late; send it again")
        await self._check_ends(ends, found)
        firsts = columns.offsets(found)
        self._clear_stale_caches()
        for draft, size, offset in zip(columns.drafts, columns.sizes, firsts, strict=True):
            batch = LogBatch(draft.partition, offset, at, draft.events)
            if self.generation == era:
                self._caches[draft.partition].add(batch, size)
            self._ends.advance(draft.partition, offset + len(draft.events))
        self._watcher.notify()
        return firsts

    def _clear_stale_caches(self) -> None:
        if self._cached_generation != self.generation:
            self._cached_generation = self.generation
            for one in self._caches:
                one.clear()

    async def _check_ends(self, ends: Mapping[int, int], first_offsets: Mapping[int, int]) -> None:
        """Raise :class:`StoreError` where what was seen before is lost, and go on behind it.

        Lanes may have read what had these offsets before, and would take what has them now for it.
        """
        lost = [partition for partition, first in first_offsets.items() if first < ends[partition]]
        for partition in lost:
            await self.skip_to(partition, ends[partition])
        if lost:
            raise StoreError(
                f"{self._database.label}: the server has lost what it had acknowledged, as a"
                f" failover to a standby does that was behind; partitions {lost} go on behind it:"
                " send it again"
            )

    def _decode_batch(
        self, partition: int, offset: int, count: int, appended_at: datetime, body: bytes
    ) -> LogBatch:
        place = f"{self._database.label}, partition {partition}, offset {offset}"
        events = codec.decode_batch(body, place)
        if len(events) != count:
            raise StoreCorrupted(f"{place}: {len(events)} events, not {count}; restore a backup")
        return LogBatch(partition, offset, appended_at, events)


def _contiguous(batches: Iterable[LogBatch]) -> list[LogBatch]:
    """Return batches up to a hole."""
    found: list[LogBatch] = []
    for batch in batches:
        if found and found[-1].end != batch.offset:
            break
        found.append(batch)
    return found


class _AppendColumns(msgspec.Struct, frozen=True):
    """Drafts as the columns of a statement; ``relative_offsets`` counts those before of the same
    partition."""

    drafts: Sequence[NewBatch]
    relative_offsets: list[int]
    sizes: list[int]
    totals: dict[int, tuple[int, int]]

    @classmethod
    def from_drafts(cls, drafts: Sequence[NewBatch], partitions: int) -> Self:
        totals: dict[int, tuple[int, int]] = {}
        ahead, sizes = [], []
        for draft in drafts:
            if not 0 <= draft.partition < partitions or not draft.events:
                raise ValueError(f"no events, or no such partition: {draft.partition}")
            count, total = totals.get(draft.partition, (0, 0))
            ahead.append(count)
            sizes.append(codec.size_bytes(draft.events))
            totals[draft.partition] = (count + len(draft.events), total + sizes[-1])
        return cls(drafts, ahead, sizes, totals)

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
        return [first_offsets[draft.partition] + ahead for draft, ahead in pairs]
