"""How a lane finds an event that ends the process, so that it does not do so for ever. Pure.

After an unclean end each lane keeps a mark of what it has in hand, until its first events are
settled. A mark that is found at a start, with the cursor still before its end, means that the
process ended over it::

    no mark ──died──► several events marked ──died──► each event marked alone ──died──► the event
                                                                                  has failed once
"""

from __future__ import annotations

import msgspec

from busway.delivery.settle import Problem

INTERRUPTED = Problem("step", "interrupted", "the process ended during the attempt")


class Mark(msgspec.Struct, frozen=True):
    """What a lane had in hand, up to ``end``: ``alone`` is the only event of it, by its offset."""

    end: int
    alone: int | None = None


class Care(msgspec.Struct, frozen=True):
    """How carefully to go on: one event at a time before ``single_until``.

    ``suspect`` is the offset of the event over which the process ended.
    """

    single_until: int = 0
    suspect: int | None = None


def care(mark: Mark | None, cursor: int) -> Care:
    """Return how carefully a lane goes on at its cursor, by the mark that was left."""
    if mark is None or mark.end <= cursor:
        return Care()
    if mark.alone is None or mark.alone < cursor:
        return Care(mark.end)
    return Care(mark.end, mark.alone)
