"""What a destination that keeps positions remembers of a lane, decided without any I/O.

For each lane a destination keeps the range of offsets that it has decided and, apart from it, the
exceptional offsets: inside the range those that did not land, outside of it those that did.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import msgspec

from busway.outcome import DELIVERED, Outcome
from busway.ports import Load, Standing


class Position(msgspec.Struct, frozen=True):
    """The offsets from ``start`` up to ``position`` that are decided; none when they are equal."""

    start: int = 0
    position: int = 0

    def __contains__(self, offset: int) -> bool:
        return self.start <= offset < self.position


class Place(msgspec.Struct, frozen=True):
    """A lane's position, with those exceptions that a load can touch (see :func:`span`).

    ``epoch`` is the largest number of a lease under which something was written.
    """

    position: Position = Position()
    exceptions: frozenset[int] = frozenset()
    epoch: int = 0

    def refuses(self, load: Load) -> bool:
        """Say whether a later holder of the lane has written: this load is of one that lost it."""
        return 0 < load.epoch < self.epoch

    def pending(self, load: Load) -> Sequence[int]:
        """Return which items of a load (their places in it) are not in the destination yet."""
        if not self.exceptions and load.start is not None and load.start >= self.position.position:
            return range(len(load.items))
        return [i for i, item in enumerate(load.items) if not self.landed(item.offset)]

    def landed(self, offset: int) -> bool:
        """Say whether the offset is in the destination already."""
        return (offset in self.position) != (offset in self.exceptions)

    def standing(self, offsets: Iterable[int]) -> Standing:
        """Return what is known of some offsets, whose exceptions are all here."""
        landed = frozenset(offset for offset in offsets if self.landed(offset))
        return Standing(self.position.start, self.position.position, landed)


class Change(msgspec.Struct, frozen=True):
    """What a load makes of a place: the new position, exceptions to insert and to delete."""

    position: Position
    inserts: tuple[int, ...] = ()
    deletes: tuple[int, ...] = ()


def span(position: Position, load: Load) -> tuple[int, int] | None:
    """Return the offsets (from, to) whose exceptions a load can touch.

    ``None`` for a retry, which touches the offsets of its items only.
    """
    if load.start is None or load.end is None:
        return None
    if position.start == position.position:
        return load.start, load.end
    return min(load.start, position.position), load.end


def advance(place: Place, load: Load, missed: Collection[int]) -> Change:
    """Return what to write beside the rows of a load, in the same transaction.

    ``missed`` are the offsets of its items that did not land, neither now nor before.
    """
    position = _grown(place.position, load)
    touched = place.exceptions.union(load.holes, missed)
    outside = load.start is None or load.start not in position
    if not touched and not outside:
        return Change(position)
    arrived = {item.offset for item in load.items}.difference(missed)
    if outside:
        touched |= arrived
    exceptional = {
        offset
        for offset in touched
        if (offset in arrived or place.landed(offset)) != (offset in position)
    }
    return Change(
        position,
        inserts=tuple(sorted(exceptional - place.exceptions)),
        deletes=tuple(sorted(place.exceptions - exceptional)),
    )


def missed_offsets(load: Load, outcomes: Sequence[Outcome]) -> set[int]:
    """Return the offsets of the items of a load that did not land."""
    if outcomes.count(DELIVERED) == len(outcomes):
        return set()
    pairs = zip(load.items, outcomes, strict=True)
    return {item.offset for item, outcome in pairs if outcome is not DELIVERED}


def _grown(position: Position, load: Load) -> Position:
    """Return the range with that of a fresh load; a gap between them counts as decided."""
    if load.start is None or load.end is None:
        return position
    if position.start == position.position:
        return Position(load.start, load.end)
    if load.end < position.start:
        return position
    return Position(min(load.start, position.start), max(load.end, position.position))
