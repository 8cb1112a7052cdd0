"""Read a log file, in the process that owns it and in others."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path

import apsw

from busway import batch_codec as codec
from busway.engine.batch_cache import SizedBatch, batches_within
from busway.engine.sqlite import timestamp
from busway.engine.sqlite.database import (
    Row,
    connect_read_only,
    fetch,
    sql,
    to_store_error,
    used_bytes,
)
from busway.errors import StoreCorrupted, StoreTooNew
from busway.ports import LogBatch, PartitionBounds

OFFSET_MASK = (1 << 48) - 1
"""The part of a row's id that is the offset; the partition is above it."""


class LogReader:
    """Reads on its own connection, in the thread of its caller."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = connect_read_only(path)

    def read(self, partition: int, offset: int, max_bytes: int) -> Sequence[LogBatch]:
        with self._translating_errors():
            cursor = self._connection.execute(
                sql("log/read"), (partition, min(max(offset, 0), OFFSET_MASK))
            )
            try:
                return batches_within(self._decode_batches(cursor), max_bytes)
            finally:
                cursor.close()

    def all_bounds(self) -> Sequence[PartitionBounds]:
        """Return the bounds of each partition."""
        with self._translating_errors():
            rows = fetch(self._connection, "log/all_bounds")
        return [
            PartitionBounds(base & OFFSET_MASK, end - (partition << 48))
            for partition, base, end in rows
        ]

    def bounds(self, partition: int) -> PartitionBounds:
        """Return the bounds of one partition."""
        with self._translating_errors():
            ((base, end),) = fetch(self._connection, "log/partition_bounds", (partition,))
        return PartitionBounds(base & OFFSET_MASK, end - (partition << 48))

    def size_bytes(self) -> int:
        with self._translating_errors():
            return used_bytes(self._connection)

    def first_offset_since(self, partition: int, at: datetime) -> int | None:
        """Return the offset of the first batch appended at or after a time, by binary search."""
        low, high = partition << 48, (partition << 48) + OFFSET_MASK
        first, wanted = None, timestamp.to_microseconds(at)
        while low <= high:
            # the newest first: most callers ask for a recent time, or a future one
            middle = high if first is None else (low + high) // 2
            batch = self._last_between(low, middle)
            if batch is not None and batch[2] >= wanted:
                first, high = batch[0], batch[0] - 1
            elif first is None:
                return None
            else:
                low = middle + 1 if batch is None else max(middle + 1, batch[0] + batch[1])
        return None if first is None else first & OFFSET_MASK

    def appended_at(self, partition: int, offset: int) -> datetime | None:
        """Return when the batch with this offset was appended."""
        wanted = partition << 48 | min(max(offset, 0), OFFSET_MASK)
        batch = self._last_between(partition << 48, wanted)
        return (
            timestamp.from_microseconds(batch[2])
            if batch and wanted < batch[0] + batch[1]
            else None
        )

    def close(self) -> None:
        self._connection.close()

    def _last_between(self, low: int, high: int) -> tuple[int, int, int] | None:
        """Return id, count and time of the last batch whose id is in a range."""
        with self._translating_errors():
            rows = fetch(self._connection, "log/last_between", (low, high))
        return rows[0] if rows else None

    def _decode_batches(self, rows: Iterable[Row]) -> Iterator[SizedBatch]:
        for position, row in enumerate(rows):
            try:
                batch = self._decode_batch(*row)
            except (StoreCorrupted, StoreTooNew):
                if position:
                    return  # those before it are intact; the next read begins here and raises
                raise
            yield SizedBatch(batch, codec.size_bytes(batch.events))

    def _decode_batch(self, key: int, count: int, appended_at: int, body: bytes) -> LogBatch:
        partition, offset = key >> 48, key & OFFSET_MASK
        location = f"{self._path}, partition {partition}, offset {offset}"
        events = codec.decode_batch(body, location)
        if len(events) != count:
            raise StoreCorrupted(f"{location}: {len(events)} events, not {count}; restore a backup")
        return LogBatch(partition, offset, timestamp.from_microseconds(appended_at), events)

    @contextlib.contextmanager
    def _translating_errors(self) -> Iterator[None]:
        try:
            yield
        except apsw.Error as error:
            raise to_store_error(error, self._path) from error
