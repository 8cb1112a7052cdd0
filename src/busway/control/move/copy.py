"""Copy an installation: its events as they were appended, its records in portions."""

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
"""Hears how much of all is there."""


async def copy_events(origin: Log, receiving: MoveReceiver, reached: OnProgress) -> None:
    """Append what the target does not have yet, batch by batch, with the times they came."""
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
            if following > offset:  # a hole
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
    """Copy all records, from where it was cut off; anew where the origin ran since then."""
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
    """Forget the records that are there, to copy all of them again."""
    again = msgspec.structs.replace(move, origin_digest=moving.digest, bookmark=Bookmark())
    _require(await target.clear(move, again))
    return again


async def stored_move(target: ImportableLedger) -> Move:
    """Return the move that a target keeps."""
    return msgspec.json.decode((await target.get_values(MOVE_KEY))[MOVE_KEY], type=Move)


def _require(done: bool) -> None:
    if not done:
        raise Conflict("another process moves to the same target; let one of them do it")


async def _read_batches(log: Log, partition: int, offset: int) -> Sequence[LogBatch]:
    """Read batches from an offset on, many of them where they are small."""
    found: list[LogBatch] = []
    left = PORTION_BYTES
    while left > 0 and len(found) < _MAX_BATCHES:
        read = await log.read(partition, offset, left)
        if not read or (found and read[0].offset > offset):
            break
        found += [_batch_from(one, offset) for one in read]
        left -= sum(sum(map(len, one.events)) for one in read)
        offset = found[-1].end
    return found


def _batch_from(one: LogBatch, offset: int) -> LogBatch:
    """Return the part of a batch from an offset on: the one that holds it may begin before."""
    if one.offset >= offset:
        return one
    events = one.events[offset - one.offset :]
    return LogBatch(one.partition, offset, one.appended_at, events)
