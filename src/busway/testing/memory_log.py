"""A log in memory: what a log does, in the fewest words."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime

from busway import batch_codec as codec
from busway.errors import StoreFull
from busway.ports import LogBatch, NewBatch, PartitionBounds


class MemoryLog:
    """Keeps every batch in a list for each partition; ``max_bytes`` (0: none) makes it full."""

    def __init__(self, partitions: int, identity: str = "memory", max_bytes: int = 0) -> None:
        self._identity = identity
        self._batches: list[list[LogBatch]] = [[] for _ in range(partitions)]
        self._bounds = [PartitionBounds(0, 0)] * partitions
        self._max_bytes = max_bytes
        self._grown = asyncio.Condition()

    @property
    def identity(self) -> str:
        return self._identity

    @property
    def partitions(self) -> int:
        return len(self._bounds)

    async def append(self, new_batches: Sequence[NewBatch], at: datetime) -> Sequence[int]:
        wanted = sum(codec.size_bytes(new_batch.events) for new_batch in new_batches)
        if self._max_bytes and await self.size_bytes() + wanted > self._max_bytes:
            raise StoreFull(f"the log may hold {self._max_bytes} bytes; trim it")
        offsets = [self._add(new_batch, at) for new_batch in new_batches]
        async with self._grown:
            self._grown.notify_all()
        return offsets

    def _add(self, new_batch: NewBatch, at: datetime) -> int:
        first, end = self._bounds[new_batch.partition]
        self._batches[new_batch.partition].append(
            LogBatch(new_batch.partition, end, at, new_batch.events)
        )
        self._bounds[new_batch.partition] = PartitionBounds(first, end + len(new_batch.events))
        return end

    async def read(self, partition: int, offset: int, max_bytes: int) -> Sequence[LogBatch]:
        found: list[LogBatch] = []
        for batch in self._batches[partition]:
            if batch.end <= offset:
                continue
            max_bytes -= codec.size_bytes(batch.events)
            if found and (max_bytes < 0 or found[-1].end != batch.offset):
                break
            found.append(batch)
        return found

    async def bounds(self, partition: int) -> PartitionBounds:
        return self._bounds[partition]

    async def trim(self, partition: int, offset: int) -> int:
        first, end = self._bounds[partition]
        kept = [batch for batch in self._batches[partition] if batch.end > offset]
        self._batches[partition] = kept
        base = kept[0].offset if kept else end
        self._bounds[partition] = PartitionBounds(base, end)
        return base - first

    async def skip_to(self, partition: int, offset: int) -> int:
        first, end = self._bounds[partition]
        if end < offset:
            start = first if self._batches[partition] else offset
            self._bounds[partition] = PartitionBounds(start, offset)
            async with self._grown:
                self._grown.notify_all()
        return end

    async def offset_at(self, partition: int, at: datetime) -> int:
        for batch in self._batches[partition]:
            if batch.appended_at >= at:
                return batch.offset
        return self._bounds[partition].end

    async def appended_at(self, partition: int, offset: int) -> datetime | None:
        found = (batch for batch in self._batches[partition] if batch.offset <= offset < batch.end)
        return next((one.appended_at for one in found), None)

    async def size_bytes(self) -> int:
        return sum(codec.size_bytes(b.events) for batches in self._batches for b in batches)

    async def wait(self, partition: int, offset: int) -> None:
        async with self._grown:
            await self._grown.wait_for(lambda: self._bounds[partition].end > offset)

    async def close(self) -> None:
        """Nothing to close: what it holds goes with it."""
