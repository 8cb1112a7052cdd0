"""Copy an installation: its events batch by batch, its records page by page."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from busway.control.move.record import MovedRecords
from busway.errors import Conflict, StoreCorrupted
from busway.ports import Log, LogBatch
from busway.ports.move import (
    MOVE_KEY,
    Bookmark,
    ExportableLedger,
    ExportPage,
    ImportableLedger,
    Move,
    MoveReceiver,
)

PORTION_BYTES = 4 * 1024 * 1024
_MAX_BATCHES = 10_000
OnProgress = Callable[[int], None]
"""Called with the amount that is copied."""


async def copy_events(origin: Log, receiving: MoveReceiver, reached: OnProgress) -> None:
    """Append the events that the target does not have yet, with their append times."""
    before = 0
    for partition in range(origin.partitions):
        base, end = await origin.bounds(partition)
        kept, offset = await receiving.log.bounds(partition)
        if offset > end:
            raise StoreCorrupted(
                f"the target has events up to {offset} in partition {partition}, and this directory"
                f" only up to {end}: it is an older copy of what was moved; move the newer one"
            )
        while offset < end:
            reached(before + offset - base)
            batches = await _read_batches(origin, partition, offset)
            following = batches[0].offset if batches else end
            if following > offset:  # a gap
                await receiving.log.skip_to(partition, following)
            if batches:
                await receiving.append(batches)
            offset = batches[-1].end if batches else end
        if kept < base:
            await receiving.log.trim(partition, base)
        before += end - base
        reached(before)


async def copy_records(
    origin: ExportableLedger, target: ImportableLedger, moving: MovedRecords, reached: OnProgress
) -> None:
    """Copy all records; resume an interrupted copy unless the origin has run since."""
    move = await stored_move(target)
    if move.origin_digest != moving.digest:
        move = await restart_copy(target, move, moving)
    done = sum((await target.sizes()).values())
    while move.bookmark is not None:
        reached(done)
        portion = await origin.export(move.bookmark, PORTION_BYTES)
        taken = ExportPage(portion.kind, moving.convert(portion.records), portion.next)
        following = msgspec.structs.replace(move, bookmark=portion.next)
        _require(await target.import_page(taken, move, following))
        move, done = following, done + len(portion.records)
    reached(done)


async def restart_copy(target: ImportableLedger, move: Move, moving: MovedRecords) -> Move:
    """Clear the copied records, to copy all of them again."""
    again = msgspec.structs.replace(move, origin_digest=moving.digest, bookmark=Bookmark())
    _require(await target.clear(move, again))
    return again


async def stored_move(target: ImportableLedger) -> Move:
    """Return the move that is recorded in a target."""
    return msgspec.json.decode((await target.get_values(MOVE_KEY))[MOVE_KEY], type=Move)


def _require(done: bool) -> None:
    if not done:
        raise Conflict("another process moves to the same target; let one of them do it")


async def _read_batches(log: Log, partition: int, offset: int) -> Sequence[LogBatch]:
    """Read batches beginning at an offset, up to a size and a number."""
    batches: list[LogBatch] = []
    bytes_left = PORTION_BYTES
    while bytes_left > 0 and len(batches) < _MAX_BATCHES:
        read = await log.read(partition, offset, bytes_left)
        if not read or (batches and read[0].offset > offset):
            break
        batches += [_batch_from(batch, offset) for batch in read]
        bytes_left -= sum(sum(map(len, batch.events)) for batch in read)
        offset = batches[-1].end
    return batches


def _batch_from(batch: LogBatch, offset: int) -> LogBatch:
    """Return the part of a batch that begins at an offset."""
    if batch.offset >= offset:
        return batch
    events = batch.events[offset - batch.offset :]
    return LogBatch(batch.partition, offset, batch.appended_at, events)
