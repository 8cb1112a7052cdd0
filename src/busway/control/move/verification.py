"""Compare the target of a move with its origin: each event and each record."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import datetime

import msgspec
import xxhash

from busway.control.move.record import MovedRecords
from busway.errors import StoreCorrupted, StoreError
from busway.named_value import NamedValue
from busway.ports import Log, LogBatch
from busway.ports.move import LOG_IDENTITY_KEY, MOVE_KEY, Bookmark, ExportableLedger, LedgerRecord

READ_BYTES = 4 * 1024 * 1024
OnCounted = Callable[[int], None]


class LedgerMismatch(StoreError):
    """The ledgers of the origin and the target differ."""


class PartitionComparison(msgspec.Struct, frozen=True):
    """A partition that is equal in both logs, with a checksum (XXH3) of all its events."""

    partition: int
    base: int
    end: int
    checksum: str


async def compare_events(
    origin: Log, target: Log, partition: int, counted: OnCounted
) -> PartitionComparison:
    """Compare a partition event by event, with the append times.

    Raises :class:`StoreCorrupted` if anything differs.
    """
    base, end = await origin.bounds(partition)
    target_bounds = await target.bounds(partition)
    if target_bounds != (base, end):
        raise _damaged(
            partition, f"it holds {target_bounds[0]}..{target_bounds[1]}, and not {base}..{end}"
        )
    digest = xxhash.xxh3_128()
    reader = _EventReader(target, partition, base)
    async for batch in _batches(origin, partition, base, end):
        events = await reader.next(batch)
        if events != list(batch.events):
            raise _damaged(partition, f"{batch.offset}..{batch.end} is not the same")
        digest.update(b"".join(events))
        counted(len(events))
    return PartitionComparison(partition, base, end, digest.hexdigest())


async def compare_records(
    origin: ExportableLedger, target: ExportableLedger, moving: MovedRecords, counted: OnCounted
) -> int:
    """Compare all records of both ledgers, in order, and return how many there are.

    Raises :class:`LedgerMismatch` at the first difference.
    """
    count = 0
    target_records = _records(target)
    async for record in _records(origin):
        for moved in moving.convert([record]):
            if await anext(target_records, None) != moved:
                raise LedgerMismatch(f"the ledgers differ at {_record_text(moved)}")
            count += 1
        counted(1)
    if (more := await anext(target_records, None)) is not None:
        raise LedgerMismatch(f"the target's ledger has one record too many: {_record_text(more)}")
    return count


async def _records(ledger: ExportableLedger) -> AsyncIterator[LedgerRecord]:
    """Yield all records except those about the move and its log."""
    bookmark: Bookmark | None = Bookmark()
    while bookmark is not None:
        page = await ledger.export(bookmark, READ_BYTES)
        for record in page.records:
            if not isinstance(record, NamedValue) or record.name not in (
                MOVE_KEY,
                LOG_IDENTITY_KEY,
            ):
                yield record
        bookmark = page.next


async def _batches(log: Log, partition: int, base: int, end: int) -> AsyncIterator[LogBatch]:
    while base < end:
        batches = await log.read(partition, base, READ_BYTES)
        if not batches:
            return  # the rest is a gap
        for batch in batches:
            yield batch
        base = batches[-1].end


class _EventReader:
    """Reads a partition in portions of any size, independent of its batches."""

    def __init__(self, log: Log, partition: int, base: int) -> None:
        self._partition = partition
        self._batches = _batches(log, partition, base, 1 << 62)
        self._left: list[bytes] = []
        self._at: datetime | None = None

    async def next(self, expected: LogBatch) -> list[bytes]:
        """Return the events with the offsets and the append time of a batch."""
        events: list[bytes] = []
        while len(events) < len(expected.events):
            if not self._left:
                batch = await anext(self._batches, None)
                offset = expected.offset + len(events)
                if batch is None or batch.offset != offset:
                    raise _damaged(self._partition, f"nothing begins at offset {offset}")
                self._left, self._at = list(batch.events), batch.appended_at
            if self._at != expected.appended_at:
                difference = f"an event of {expected.appended_at} has the time {self._at}"
                raise _damaged(self._partition, difference)
            missing = len(expected.events) - len(events)
            events += self._left[:missing]
            self._left = self._left[missing:]
        return events


def _damaged(partition: int, what: str) -> StoreCorrupted:
    return StoreCorrupted(
        f"partition {partition} is not the same in the target: {what}; drop what is in the target"
        " and move again"
    )


def _record_text(record: LedgerRecord) -> str:
    return f"{type(record).__name__} {str(record)[:200]}"
