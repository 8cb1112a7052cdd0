"""What is read from a log file, by its owner and by those who look on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path

import apsw

from busway import batch as codec
from busway.engine.recent import Sized, fitting
from busway.engine.sqlite import moment
from busway.engine.sqlite.database import Row, connect_reading, rows, sql, translated, used_bytes
from busway.errors import StoreDamaged, StoreTooNew
from busway.ports import Batch

OFFSET = (1 << 48) - 1
"""The part of a row's id that is the offset; the partition is above it."""


class LogReader:
    """Reads on a connection of its own, in the thread of its caller."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = connect_reading(path)

    def read(self, partition: int, offset: int, max_bytes: int) -> Sequence[Batch]:
        with self._told():
            cursor = self._connection.execute(
                sql("log/read"), (partition, min(max(offset, 0), OFFSET))
            )
            try:
                return fitting(self._batches(cursor), max_bytes)
            finally:
                cursor.close()

    def bounds(self) -> Sequence[tuple[int, int]]:
        """Return the first kept offset and the end of each partition."""
        with self._told():
            found = rows(self._connection, "log/bounds")
        return [(base & OFFSET, end - (partition << 48)) for partition, base, end in found]

    def bound(self, partition: int) -> tuple[int, int]:
        """Return the first kept offset and the end of one partition."""
        with self._told():
            ((base, end),) = rows(self._connection, "log/bound", (partition,))
        return base & OFFSET, end - (partition << 48)

    def size_bytes(self) -> int:
        with self._told():
            return used_bytes(self._connection)

    def first_since(self, partition: int, at: datetime) -> int | None:
        """Return the offset of the first batch appended at or after a time, found by halving."""
        low, high = partition << 48, (partition << 48) + OFFSET
        found, wanted = None, moment.stored(at)
        while low <= high:
            # the newest first: most ask about what came lately, or has not come yet
            middle = high if found is None else (low + high) // 2
            batch = self._last_until(low, middle)
            if batch is not None and batch[2] >= wanted:
                found, high = batch[0], batch[0] - 1
            elif found is None:
                return None
            else:
                low = middle + 1 if batch is None else max(middle + 1, batch[0] + batch[1])
        return None if found is None else found & OFFSET

    def appended_at(self, partition: int, offset: int) -> datetime | None:
        """Return when the batch with this offset was appended."""
        wanted = partition << 48 | min(max(offset, 0), OFFSET)
        batch = self._last_until(partition << 48, wanted)
        return moment.restored(batch[2]) if batch and wanted < batch[0] + batch[1] else None

    def close(self) -> None:
        self._connection.close()

    def _last_until(self, low: int, high: int) -> tuple[int, int, int] | None:
        """Return id, count and time of the last batch whose id is in a range."""
        with self._told():
            found = rows(self._connection, "log/last_until", (low, high))
        return found[0] if found else None

    def _batches(self, rows: Iterable[Row]) -> Iterator[Sized]:
        for position, row in enumerate(rows):
            try:
                batch = self._batch(*row)
            except (StoreDamaged, StoreTooNew):
                if position:
                    return  # those before it are good; the next read begins here, and says so
                raise
            yield batch, codec.size(batch.events)

    def _batch(self, key: int, count: int, appended_at: int, body: bytes) -> Batch:
        partition, offset = key >> 48, key & OFFSET
        place = f"{self._path}, partition {partition}, offset {offset}"
        events = codec.decode(body, place)
        if len(events) != count:
            raise StoreDamaged(f"{place}: {len(events)} events, not {count}; restore a backup")
        return Batch(partition, offset, moment.restored(appended_at), events)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except apsw.Error as error:
            raise translated(error, self._path) from error
