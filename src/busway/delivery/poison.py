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

from busway.delivery.settlement import FailedAttempt

INTERRUPTED = FailedAttempt("step", "interrupted", "the process ended during the attempt")
BISECT_PARTS = 32
"""In how many parts goes what the process ended over."""


class SuspectRange(msgspec.Struct, frozen=True):
    """Offsets before ``end``, of which at most ``max_events`` events go at a time."""

    end: int
    max_events: int


class InFlightMarker(msgspec.Struct, frozen=True):
    """What a lane has in hand, ``event_count`` events up to ``end``: ``only_offset`` is the only
    one of it.

    ``suspect_ranges`` are those that it goes through with care meanwhile, the nearest end first.
    """

    end: int
    only_offset: int | None = None
    event_count: int = 1
    suspect_ranges: tuple[SuspectRange, ...] = ()

    @property
    def last_end(self) -> int:
        """Where there is no more reason for care."""
        return max(self.end, *(one.end for one in self.suspect_ranges), 0)


class BisectPlan(msgspec.Struct, frozen=True):
    """How carefully to go on: through ``suspect_ranges``, the nearest end first.

    ``suspect_offset`` is the offset of the event over which the process ended.
    """

    suspect_ranges: tuple[SuspectRange, ...] = ()
    suspect_offset: int | None = None


def bisect_plan(marker: InFlightMarker | None, cursor: int) -> BisectPlan:
    """Return how carefully a lane goes on at its cursor, by the mark that was left."""
    if marker is None:
        return BisectPlan()
    before = tuple(one for one in marker.suspect_ranges if one.end > max(marker.end, cursor))
    if marker.end <= cursor:
        return BisectPlan(before)
    smaller = SuspectRange(marker.end, -(-marker.event_count // BISECT_PARTS))
    suspect = (
        None if marker.only_offset is None or marker.only_offset < cursor else marker.only_offset
    )
    return BisectPlan((smaller, *before), suspect)
