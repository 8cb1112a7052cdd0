"""Bisection for a poison event, which kills the process each time. Pure.

After an unclean shutdown, each lane stores a marker of its batch in flight, until its first events
are settled. A marker that is found at a start, with the cursor still before its end, means that the
process died during that batch::

    no marker ──died──► all marked ──died──► a part marked ──died──► ... ──died──► one event marked
                                                                          ──died──► it failed once

The parts shrink fast enough to find one event among thousands within a few deaths, but not faster:
most processes die for other reasons, and their events should not be processed one by one.
"""

from __future__ import annotations

import msgspec

from busway.delivery.settlement import FailedAttempt

INTERRUPTED = FailedAttempt("step", "interrupted", "the process ended during the attempt")
BISECT_PARTS = 32
"""The number of parts into which a suspect batch is divided."""


class SuspectRange(msgspec.Struct, frozen=True):
    """Offsets before ``end``, of which at most ``max_events`` events are processed at a time."""

    end: int
    max_events: int


class InFlightMarker(msgspec.Struct, frozen=True):
    """A lane's batch in flight: ``event_count`` events before ``end``.

    ``only_offset`` is set if it is a single event. ``suspect_ranges`` are the ranges still being
    bisected, the nearest end first.
    """

    end: int
    only_offset: int | None = None
    event_count: int = 1
    suspect_ranges: tuple[SuspectRange, ...] = ()

    @property
    def last_end(self) -> int:
        """The offset from which no event is suspect."""
        return max(self.end, *(suspect.end for suspect in self.suspect_ranges), 0)


class BisectPlan(msgspec.Struct, frozen=True):
    """The ranges to process in small batches, the nearest end first.

    ``suspect_offset`` is the offset of the event during which the process died, if known.
    """

    suspect_ranges: tuple[SuspectRange, ...] = ()
    suspect_offset: int | None = None


def bisect_plan(marker: InFlightMarker | None, cursor: int) -> BisectPlan:
    """Return how a lane continues at its cursor after a start, given the stored marker."""
    if marker is None:
        return BisectPlan()
    passed = max(marker.end, cursor)
    remaining = tuple(suspect for suspect in marker.suspect_ranges if suspect.end > passed)
    if marker.end <= cursor:
        return BisectPlan(remaining)
    smaller = SuspectRange(marker.end, -(-marker.event_count // BISECT_PARTS))
    suspect = (
        None if marker.only_offset is None or marker.only_offset < cursor else marker.only_offset
    )
    return BisectPlan((smaller, *remaining), suspect)
