"""The position of a lane that a destination stores with its rows. Pure.

For each lane a destination stores the range of decided offsets and the exceptions: offsets inside
the range that were not delivered and offsets outside of it that were.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import msgspec

from busway.outcome import DELIVERED, Outcome
from busway.ports import DeliveredRange, Load


class DecidedRange(msgspec.Struct, frozen=True):
    """The decided offsets: from ``start``, inclusive, to ``end``, exclusive."""

    start: int = 0
    end: int = 0

    def __contains__(self, offset: int) -> bool:
        return self.start <= offset < self.end


class LanePosition(msgspec.Struct, frozen=True):
    """A lane's position with the exceptions that a load can affect (:func:`exceptions_range`).

    ``fencing_token`` is the largest fencing token of a lease that has written.
    """

    decided: DecidedRange = DecidedRange()
    exceptions: frozenset[int] = frozenset()
    fencing_token: int = 0

    def is_fenced(self, load: Load) -> bool:
        """Say whether a later holder of the lane has written, so that this load must not."""
        return 0 < load.fencing_token < self.fencing_token

    def pending_items(self, load: Load) -> Sequence[int]:
        """Return the indexes of the items of a load that are not in the destination yet."""
        if not self.exceptions and load.start is not None and load.start >= self.decided.end:
            return range(len(load.items))
        return [i for i, item in enumerate(load.items) if not self.is_delivered(item.offset)]

    def is_delivered(self, offset: int) -> bool:
        """Say whether the offset is in the destination already."""
        return (offset in self.decided) != (offset in self.exceptions)

    def delivered_range(self, offsets: Iterable[int]) -> DeliveredRange:
        """Return the delivered range with those of the given offsets that are delivered."""
        delivered = frozenset(offset for offset in offsets if self.is_delivered(offset))
        return DeliveredRange(self.decided.start, self.decided.end, delivered)


class PositionChange(msgspec.Struct, frozen=True):
    """The change of a position by a load: the new range, exceptions to insert and to delete."""

    decided: DecidedRange
    inserts: tuple[int, ...] = ()
    deletes: tuple[int, ...] = ()


def exceptions_range(decided: DecidedRange, load: Load) -> DecidedRange | None:
    """Return the range of offsets whose exceptions a load can affect.

    ``None`` for a retry, which affects the offsets of its items only.
    """
    if load.start is None or load.end is None:
        return None
    if decided.start == decided.end:
        return DecidedRange(load.start, load.end)
    return DecidedRange(min(load.start, decided.end), load.end)


def advance(lane_position: LanePosition, load: Load, failed: Collection[int]) -> PositionChange:
    """Return the change of the position to write with the rows of a load, in one transaction.

    ``failed`` are the offsets of its items that are not delivered, neither now nor before.
    """
    position = _extended(lane_position.decided, load)
    touched = lane_position.exceptions.union(load.failed_offsets, failed)
    outside = load.start is None or load.start not in position
    if not touched and not outside:
        return PositionChange(position)
    delivered = {item.offset for item in load.items}.difference(failed)
    if outside:
        touched |= delivered
    exceptional = {
        offset
        for offset in touched
        if (offset in delivered or lane_position.is_delivered(offset)) != (offset in position)
    }
    return PositionChange(
        position,
        inserts=tuple(sorted(exceptional - lane_position.exceptions)),
        deletes=tuple(sorted(lane_position.exceptions - exceptional)),
    )


def failed_offsets(load: Load, outcomes: Sequence[Outcome]) -> set[int]:
    """Return the offsets of the items of a load that are not delivered."""
    if outcomes.count(DELIVERED) == len(outcomes):
        return set()
    pairs = zip(load.items, outcomes, strict=True)
    return {item.offset for item, outcome in pairs if outcome is not DELIVERED}


def _extended(decided: DecidedRange, load: Load) -> DecidedRange:
    """Extend the range by that of a first attempt; a gap between them counts as decided."""
    if load.start is None or load.end is None:
        return decided
    if decided.start == decided.end:
        return DecidedRange(load.start, load.end)
    if load.end < decided.start:
        return decided
    return DecidedRange(min(load.start, decided.start), max(load.end, decided.end))
