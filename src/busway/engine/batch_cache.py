"""The batches appended last, kept so that lanes at the end of the log need not ask the store."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import islice

from busway import batch_codec as codec
from busway.ports import LogBatch

_PER_EVENT_BYTES = 64
SizedBatch = tuple[LogBatch, int]
"""A batch and the bytes of its events."""


def _first_offset(kept: SizedBatch) -> int:
    return kept[0].offset


class BatchCache:
    """The newest batches of one partition, up to a number of bytes."""

    def __init__(self, max_bytes: int) -> None:
        self._batches: deque[SizedBatch] = deque()
        self._max_bytes = max_bytes
        self._cached_bytes = 0

    def add(self, batch: LogBatch, size_bytes: int | None = None) -> None:
        """Keep the next batch, and let go of the oldest ones; ``size_bytes`` is that of its
        events."""
        if self._batches and self._batches[-1][0].end != batch.offset:
            self.clear()
        kept = (batch, codec.size_bytes(batch.events) if size_bytes is None else size_bytes)
        self._batches.append(kept)
        self._cached_bytes += _cached_bytes(kept)
        while self._cached_bytes > self._max_bytes:
            self._evict_oldest()

    def read(self, offset: int, max_bytes: int) -> Sequence[LogBatch] | None:
        """Return what a log's ``read`` would, or ``None`` when that is not here."""
        kept = self._batches
        if not kept or not kept[0][0].offset <= offset < kept[-1][0].end:
            return None
        first = bisect_right(kept, offset, key=_first_offset) - 1
        return batches_within(islice(kept, first, None), max_bytes)

    def evict_until(self, offset: int) -> None:
        """Let go of what ends at or before ``offset``."""
        while self._batches and self._batches[0][0].end <= offset:
            self._evict_oldest()

    def clear(self) -> None:
        """Let go of all."""
        self._batches.clear()
        self._cached_bytes = 0

    def _evict_oldest(self) -> None:
        self._cached_bytes -= _cached_bytes(self._batches.popleft())


def batches_within(batches: Iterable[SizedBatch], max_bytes: int) -> list[LogBatch]:
    """Return the first batch and those that follow on it and fit with it into ``max_bytes``."""
    found: list[LogBatch] = []
    for batch, size in batches:
        if found and found[-1].end != batch.offset:
            break
        max_bytes -= size
        if max_bytes >= 0 or not found:
            found.append(batch)
        if max_bytes < 0:
            break
    return found


def _cached_bytes(kept: SizedBatch) -> int:
    batch, size = kept
    return size + _PER_EVENT_BYTES * (len(batch.events) + 1)
