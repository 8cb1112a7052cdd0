"""Copy an installation: its events as they were appended, its records in portions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from busway.control.move.record import Moving
from busway.errors import Conflict, StoreDamaged
from busway.ports import Batch, Log
from busway.ports.moving import MOVE, Bookmark, Exporting, Importing, Move, Portion, Receiving

PORTION_BYTES = 4 * 1024 * 1024
_MOST_BATCHES = 10_000
Reached = Callable[[int], None]
"""Hears how much of all is there."""


async def copy_events(origin: Log, receiving: Receiving, reached: Reached) -> None:
    """Append what the target does not have yet, batch by batch, with the times they came."""
    before = 0
    for partition in range(origin.partitions):
        base, end = await origin.bounds(partition)
        kept, offset = await receiving.log.bounds(partition)
        if offset > end:
            raise StoreDamaged(
                f"the target has events up to {offset} in partition {partition}, and this directory"
                f" only up to {end}: it is an older copy of what was moved; move the newer one"
            )
        while offset < end:
            reached(before + offset - base)
            batches = await _several(origin, partition, offset)
            following = batches[0].offset if batches else end
            if following > offset:  # a hole
                await receiving.log.continue_at(partition, following)
            if batches:
                await receiving.append(batches)
            offset = batches[-1].end if batches else end
        if kept < base:
            await receiving.log.trim(partition, base)
        before += end - base
        reached(before)


async def copy_records(
    origin: Exporting, target: Importing, moving: Moving, reached: Reached
) -> None:
    """Copy all records, from where it was cut off; anew where the origin ran since then."""
    move = await move_in(target)
    if move.seen != moving.seen:
        move = await begin_anew(target, move, moving)
    done = sum((await target.sizes()).values())
    while move.bookmark is not None:
        reached(done)
        portion = await origin.export(move.bookmark, PORTION_BYTES)
        taken = Portion(portion.kind, moving.taken(portion.records), portion.next)
        following = msgspec.structs.replace(move, bookmark=portion.next)
        _sure(await target.take(taken, move, following))
        move, done = following, done + len(portion.records)
    reached(done)


async def begin_anew(target: Importing, move: Move, moving: Moving) -> Move:
    """Forget the records that are there, to copy all of them again."""
    again = msgspec.structs.replace(move, seen=moving.seen, bookmark=Bookmark())
    _sure(await target.empty(move, again))
    return again


async def move_in(target: Importing) -> Move:
    """Return the move that a target keeps."""
    return msgspec.json.decode((await target.get(MOVE))[MOVE], type=Move)


def _sure(done: bool) -> None:
    if not done:
        raise Conflict("another process moves to the same target; let one of them do it")


async def _several(log: Log, partition: int, offset: int) -> Sequence[Batch]:
    """Read batches from an offset on, many of them where they are small."""
    found: list[Batch] = []
    left = PORTION_BYTES
    while left > 0 and len(found) < _MOST_BATCHES:
        read = await log.read(partition, offset, left)
        if not read or (found and read[0].offset > offset):
            break
        found += [_behind(one, offset) for one in read]
        left -= sum(sum(map(len, one.events)) for one in read)
        offset = found[-1].end
    return found


def _behind(one: Batch, offset: int) -> Batch:
    """Return the part of a batch from an offset on: the one that holds it may begin before."""
    if one.offset >= offset:
        return one
    events = one.events[offset - one.offset :]
    return Batch(one.partition, offset, one.appended_at, events)
