"""The batches appended last, kept so that lanes at the end of the log need not ask the store."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import islice

from busway import batch as codec
from busway.ports import Batch

_PER_EVENT_BYTES = 64
Sized = tuple[Batch, int]
"""A batch and the bytes of its events."""


def _offset(kept: Sized) -> int:
    return kept[0].offset


class Recent:
    """The newest batches of one partition, up to a number of bytes."""

    def __init__(self, max_bytes: int) -> None:
        self._batches: deque[Sized] = deque()
        self._max_bytes = max_bytes
        self._bytes = 0

    def add(self, batch: Batch, size: int | None = None) -> None:
        """Keep the next batch, and let go of the oldest ones; ``size`` is that of its events."""
        if self._batches and self._batches[-1][0].end != batch.offset:
            self.clear()
        kept = (batch, codec.size(batch.events) if size is None else size)
        self._batches.append(kept)
        self._bytes += _weight(kept)
        while self._bytes > self._max_bytes:
            self._drop()

    def read(self, offset: int, max_bytes: int) -> Sequence[Batch] | None:
        """Return what a log's ``read`` would, or ``None`` when that is not here."""
        kept = self._batches
        if not kept or not kept[0][0].offset <= offset < kept[-1][0].end:
            return None
        first = bisect_right(kept, offset, key=_offset) - 1
        return fitting(islice(kept, first, None), max_bytes)

    def forget(self, offset: int) -> None:
        """Let go of what ends at or before ``offset``."""
        while self._batches and self._batches[0][0].end <= offset:
            self._drop()

    def clear(self) -> None:
        """Let go of all."""
        self._batches.clear()
        self._bytes = 0

    def _drop(self) -> None:
        self._bytes -= _weight(self._batches.popleft())


def fitting(batches: Iterable[Sized], max_bytes: int) -> list[Batch]:
    """Return the first batch and those that follow on it and fit with it into ``max_bytes``."""
    found: list[Batch] = []
    for batch, size in batches:
        if found and found[-1].end != batch.offset:
            break
        max_bytes -= size
        if max_bytes >= 0 or not found:
            found.append(batch)
        if max_bytes < 0:
            break
    return found


def _weight(kept: Sized) -> int:
    batch, size = kept
    return size + _PER_EVENT_BYTES * (len(batch.events) + 1)
