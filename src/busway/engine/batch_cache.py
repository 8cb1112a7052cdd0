"""The newest batches, kept so that lanes at the end of the log need not read the store."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import NamedTuple

from busway import batch_codec as codec
from busway.ports import LogBatch

_PER_EVENT_BYTES = 64


class SizedBatch(NamedTuple):
    """A batch and the bytes of its events."""

    batch: LogBatch
    size_bytes: int


def _first_offset(sized: SizedBatch) -> int:
    return sized.batch.offset


class BatchCache:
    """The newest batches of one partition, up to a number of bytes."""

    def __init__(self, max_bytes: int) -> None:
        self._batches: deque[SizedBatch] = deque()
        self._max_bytes = max_bytes
        self._cached_bytes = 0

    def add(self, batch: LogBatch, size_bytes: int | None = None) -> None:
        """Add the next batch and evict the oldest; ``size_bytes`` is the size of its events."""
        if self._batches and self._batches[-1].batch.end != batch.offset:
            self.clear()
        size = codec.size_bytes(batch.events) if size_bytes is None else size_bytes
        sized = SizedBatch(batch, size)
        self._batches.append(sized)
        self._cached_bytes += _cached_bytes(sized)
        while self._cached_bytes > self._max_bytes:
            self._evict_oldest()

    def read(self, offset: int, max_bytes: int) -> Sequence[LogBatch] | None:
        """Return what a log's ``read`` would return, or ``None`` if that is not in the cache."""
        batches = self._batches
        if not batches or not batches[0].batch.offset <= offset < batches[-1].batch.end:
            return None
        first = bisect_right(batches, offset, key=_first_offset) - 1
        return batches_within(islice(batches, first, None), max_bytes)

    def evict_until(self, offset: int) -> None:
        """Evict batches that end at or before ``offset``."""
        while self._batches and self._batches[0].batch.end <= offset:
            self._evict_oldest()

    def clear(self) -> None:
        """Evict all batches."""
        self._batches.clear()
        self._cached_bytes = 0

    def _evict_oldest(self) -> None:
        self._cached_bytes -= _cached_bytes(self._batches.popleft())


def batches_within(batches: Iterable[SizedBatch], max_bytes: int) -> list[LogBatch]:
    """Return the first batch and the adjacent ones that fit with it into ``max_bytes``."""
    selected: list[LogBatch] = []
    for batch, size in batches:
        if selected and selected[-1].end != batch.offset:
            break
        max_bytes -= size
        if max_bytes >= 0 or not selected:
            selected.append(batch)
        if max_bytes < 0:
            break
    return selected


def _cached_bytes(sized: SizedBatch) -> int:
    return sized.size_bytes + _PER_EVENT_BYTES * (len(sized.batch.events) + 1)
