"""What a destination that keeps positions remembers of a lane, decided without any I/O.

For each lane a destination keeps the range of offsets that it has decided and, apart from it, the
exceptional offsets: inside the range those that did not land, outside of it those that did.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import msgspec

from busway.outcome import DELIVERED, Outcome
from busway.ports import DeliveredRange, Load


class DecidedRange(msgspec.Struct, frozen=True):
    """The offsets from ``start`` up to ``position`` that are decided; none when they are equal."""

    start: int = 0
    end: int = 0

    def __contains__(self, offset: int) -> bool:
        return self.start <= offset < self.end


class LanePosition(msgspec.Struct, frozen=True):
    """A lane's position, with those exceptions that a load can touch (see
    :func:`exceptions_range`).

    ``fencing_token`` is the largest number of a lease under which something was written.
    """

    decided: DecidedRange = DecidedRange()
    exceptions: frozenset[int] = frozenset()
    fencing_token: int = 0

    def is_fenced(self, load: Load) -> bool:
        """Say whether a later holder of the lane has written: this load is of one that lost it."""
        return 0 < load.fencing_token < self.fencing_token

    def pending_items(self, load: Load) -> Sequence[int]:
        """Return which items of a load (their places in it) are not in the destination yet."""
        if not self.exceptions and load.start is not None and load.start >= self.decided.end:
            return range(len(load.items))
        return [i for i, item in enumerate(load.items) if not self.is_delivered(item.offset)]

    def is_delivered(self, offset: int) -> bool:
        """Say whether the offset is in the destination already."""
        return (offset in self.decided) != (offset in self.exceptions)

    def delivered_range(self, offsets: Iterable[int]) -> DeliveredRange:
        """Return what is known of some offsets, whose exceptions are all here."""
        landed = frozenset(offset for offset in offsets if self.is_delivered(offset))
        return DeliveredRange(self.decided.start, self.decided.end, landed)


class PositionChange(msgspec.Struct, frozen=True):
    """What a load makes of a place: the new position, exceptions to insert and to delete."""

    decided: DecidedRange
    inserts: tuple[int, ...] = ()
    deletes: tuple[int, ...] = ()


def exceptions_range(decided: DecidedRange, load: Load) -> tuple[int, int] | None:
    """Return the offsets (from, to) whose exceptions a load can touch.

    ``None`` for a retry, which touches the offsets of its items only.
    """
    if load.start is None or load.end is None:
        return None
    if decided.start == decided.end:
        return load.start, load.end
    return min(load.start, decided.end), load.end


def advance(lane_position: LanePosition, load: Load, failed: Collection[int]) -> PositionChange:
    """Return what to write beside the rows of a load, in the same transaction.

    ``failed`` are the offsets of its items that did not land, neither now nor before.
    """
    position = _extended(lane_position.decided, load)
    touched = lane_position.exceptions.union(load.failed_offsets, failed)
    outside = load.start is None or load.start not in position
    if not touched and not outside:
        return PositionChange(position)
    arrived = {item.offset for item in load.items}.difference(failed)
    if outside:
        touched |= arrived
    exceptional = {
        offset
        for offset in touched
        if (offset in arrived or lane_position.is_delivered(offset)) != (offset in position)
    }
    return PositionChange(
        position,
        inserts=tuple(sorted(exceptional - lane_position.exceptions)),
        deletes=tuple(sorted(lane_position.exceptions - exceptional)),
    )


def failed_offsets(load: Load, outcomes: Sequence[Outcome]) -> set[int]:
    """Return the offsets of the items of a load that did not land."""
    if outcomes.count(DELIVERED) == len(outcomes):
        return set()
    pairs = zip(load.items, outcomes, strict=True)
    return {item.offset for item, outcome in pairs if outcome is not DELIVERED}


def _extended(decided: DecidedRange, load: Load) -> DecidedRange:
    """Return the range with that of a fresh load; a gap between them counts as decided."""
    if load.start is None or load.end is None:
        return decided
    if decided.start == decided.end:
        return DecidedRange(load.start, load.end)
    if load.end < decided.start:
        return decided
    return DecidedRange(min(load.start, decided.start), max(load.end, decided.end))
