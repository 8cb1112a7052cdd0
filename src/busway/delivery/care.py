"""How a lane finds an event that ends the process, so that it does not do so for ever. Pure.

After an unclean end each lane keeps a mark of what it has in hand, until its first events are
settled. A mark that is found at a start, with the cursor still before its end, means that the
process ended over it::

    no mark ──died──► all marked ──died──► a part marked ──died──► ... ──died──► one event marked
                                                                          ──died──► it failed once

Parts get smaller by so much that few deaths find one event of thousands, and not by more: most
processes end for reasons of their own, and what they had in hand is not to go event by event then.
"""

from __future__ import annotations

import msgspec

from busway.delivery.settle import Problem

INTERRUPTED = Problem("step", "interrupted", "the process ended during the attempt")
PARTS = 32
"""In how many parts goes what the process ended over."""


class Stretch(msgspec.Struct, frozen=True):
    """Offsets before ``end``, of which at most ``most`` events go at a time."""

    end: int
    most: int


class Mark(msgspec.Struct, frozen=True):
    """What a lane has in hand, ``count`` events up to ``end``: ``alone`` is the only one of it.

    ``stretches`` are those that it goes through with care meanwhile, the nearest end first.
    """

    end: int
    alone: int | None = None
    count: int = 1
    stretches: tuple[Stretch, ...] = ()

    @property
    def until(self) -> int:
        """Where there is no more reason for care."""
        return max(self.end, *(one.end for one in self.stretches), 0)


class Care(msgspec.Struct, frozen=True):
    """How carefully to go on: through ``stretches``, the nearest end first.

    ``suspect`` is the offset of the event over which the process ended.
    """

    stretches: tuple[Stretch, ...] = ()
    suspect: int | None = None


def care(mark: Mark | None, cursor: int) -> Care:
    """Return how carefully a lane goes on at its cursor, by the mark that was left."""
    if mark is None:
        return Care()
    before = tuple(one for one in mark.stretches if one.end > max(mark.end, cursor))
    if mark.end <= cursor:
        return Care(before)
    smaller = Stretch(mark.end, -(-mark.count // PARTS))
    suspect = None if mark.alone is None or mark.alone < cursor else mark.alone
    return Care((smaller, *before), suspect)
