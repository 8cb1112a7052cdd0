"""Compare what was moved with what it was moved from: each event, each record."""

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
    """The target's ledger does not hold what the origin's does."""


class PartitionComparison(msgspec.Struct, frozen=True):
    """A partition that is the same in both logs, and a checksum (XXH3) over all of its events."""

    partition: int
    base: int
    end: int
    checksum: str


async def compare_events(
    origin: Log, target: Log, partition: int, counted: OnCounted
) -> PartitionComparison:
    """Compare a partition event by event, read back from the target; with the times they came.

    Raises :class:`StoreCorrupted` when anything is not the same.
    """
    base, end = await origin.bounds(partition)
    found = await target.bounds(partition)
    if found != (base, end):
        raise _damaged(partition, f"it holds {found[0]}..{found[1]}, and not {base}..{end}")
    digest = xxhash.xxh3_128()
    theirs = _EventReader(target, partition, base)
    async for batch in _batches(origin, partition, base, end):
        events = await theirs.next(batch)
        if events != list(batch.events):
            raise _damaged(partition, f"{batch.offset}..{batch.end} is not the same")
        digest.update(b"".join(events))
        counted(len(events))
    return PartitionComparison(partition, base, end, digest.hexdigest())


async def compare_records(
    origin: ExportableLedger, target: ExportableLedger, moving: MovedRecords, counted: OnCounted
) -> int:
    """Compare all records of both ledgers, in order, and return how many there are.

    Raises :class:`LedgerMismatch` at the first one that is not the same.
    """
    count = 0
    theirs = _records(target)
    async for one in _records(origin):
        for taken in moving.convert([one]):
            if await anext(theirs, None) != taken:
                raise LedgerMismatch(f"the ledgers differ at {_record_text(taken)}")
            count += 1
        counted(1)
    if (more := await anext(theirs, None)) is not None:
        raise LedgerMismatch(f"the target's ledger has one record too many: {_record_text(more)}")
    return count


async def _records(ledger: ExportableLedger) -> AsyncIterator[LedgerRecord]:
    """Yield all records but those that a ledger keeps about the move and its log."""
    bookmark: Bookmark | None = Bookmark()
    while bookmark is not None:
        portion = await ledger.export(bookmark, READ_BYTES)
        for one in portion.records:
            if not isinstance(one, NamedValue) or one.name not in (MOVE_KEY, LOG_IDENTITY_KEY):
                yield one
        bookmark = portion.next


async def _batches(log: Log, partition: int, base: int, end: int) -> AsyncIterator[LogBatch]:
    while base < end:
        found = await log.read(partition, base, READ_BYTES)
        if not found:
            return  # what is left is a hole
        for batch in found:
            yield batch
        base = found[-1].end


class _EventReader:
    """Reads a partition in portions of any size, whatever its batches are."""

    def __init__(self, log: Log, partition: int, base: int) -> None:
        self._partition = partition
        self._batches = _batches(log, partition, base, 1 << 62)
        self._left: list[bytes] = []
        self._at: datetime | None = None

    async def next(self, wanted: LogBatch) -> list[bytes]:
        """Return as many events as a batch has, which have its offsets and its time."""
        found: list[bytes] = []
        while len(found) < len(wanted.events):
            if not self._left:
                batch = await anext(self._batches, None)
                offset = wanted.offset + len(found)
                if batch is None or batch.offset != offset:
                    raise _damaged(self._partition, f"nothing begins at offset {offset}")
                self._left, self._at = list(batch.events), batch.appended_at
            if self._at != wanted.appended_at:
                what = f"an event of {wanted.appended_at} came at {self._at}"
                raise _damaged(self._partition, what)
            left = len(wanted.events) - len(found)
            found += self._left[:left]
            self._left = self._left[left:]
        return found


def _damaged(partition: int, what: str) -> StoreCorrupted:
    return StoreCorrupted(
        f"partition {partition} is not the same in the target: {what}; drop what is in the target"
        " and move again"
    )


def _record_text(one: LedgerRecord) -> str:
    return f"{type(one).__name__} {str(one)[:200]}"
