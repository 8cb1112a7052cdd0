"""Working carefully after an unclean end: what is in hand is marked in the ledger.

In normal running nothing is marked. That the process runs is kept from its start to its orderly
stop; what finds that at a start knows that the one before ended in the middle. So it does where it
finds lanes that workers had.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import msgspec

from busway.control.record import IN_FLIGHT, RUNNING
from busway.delivery.poison import INTERRUPTED, BisectPlan, InFlightMarker, bisect_plan
from busway.delivery.settlement import DecidedEvent
from busway.lane import Lane
from busway.named_value import ValueChange
from busway.ports import Ledger
from busway.runtime.lane.batch import LaneBatch, limit_events
from busway.runtime.lane.batch import limit_offset as cut_off
from busway.runtime.lane.outcome import LaneOutcomes
from busway.runtime.lease.startup_recovery import release_leases


async def mark_process_running(ledger: Ledger, at: datetime) -> Mapping[str, InFlightMarker] | None:
    """Keep that the process runs; return the marks of the one before when it ended uncleanly."""
    marks = await ledger.get_values(IN_FLIGHT)
    held = [lane for lane in await ledger.lanes() if lane.worker is not None]
    unclean = bool(held) or RUNNING in await ledger.get_values(RUNNING)
    running = ValueChange(RUNNING, msgspec.json.encode(at))
    stale = () if unclean else [ValueChange(name, None) for name in marks]
    await ledger.change_values([running, *stale])
    await release_leases(ledger, held)
    if not unclean:
        return None
    return _decode_markers(marks)


async def in_flight_markers(ledger: Ledger) -> Mapping[str, InFlightMarker]:
    """Return what lanes have in hand, or had when those ended that worked them."""
    return _decode_markers(await ledger.get_values(IN_FLIGHT))


def _decode_markers(markers: Mapping[str, bytes]) -> Mapping[str, InFlightMarker]:
    return {
        name: msgspec.json.decode(value, type=InFlightMarker) for name, value in markers.items()
    }


async def mark_process_stopped(ledger: Ledger) -> None:
    """Keep that the process stopped in good order: what was marked says nothing any more.

    A lane whose process died right after it had settled has its mark until its next event.
    """
    await ledger.change_values(
        [ValueChange(name, None) for name in (RUNNING, *await ledger.get_values(IN_FLIGHT))]
    )


class PoisonBisection:
    """The care of one lane, until its first events after an unclean end are settled."""

    def __init__(self, ledger: Ledger, lane: Lane, markers: Mapping[str, InFlightMarker]) -> None:
        self._ledger = ledger
        self._name = f"{IN_FLIGHT}{lane.flow}/{lane.partition}"
        mark = markers.get(self._name)
        self._plan = bisect_plan(mark, lane.cursor)
        self._marker = mark
        self.is_done = False

    async def narrow(self, batch: LaneBatch, lane_outcomes: LaneOutcomes) -> LaneBatch:
        """Return what to work now of a batch, marked; the suspect has failed already."""
        ahead = tuple(one for one in self._plan.suspect_ranges if one.end > batch.start)
        if ahead:
            batch = limit_events(cut_off(batch, ahead[0].end), ahead[0].max_events)
        if self._fail_poison(batch, lane_outcomes):
            return batch
        if batch.wanted:
            only = batch.wanted[0][0] if len(batch.wanted) == 1 else None
            self._marker = InFlightMarker(batch.end, only, len(batch.wanted), ahead)
            await self._ledger.put_value(self._name, msgspec.json.encode(self._marker))
        return batch

    def _fail_poison(self, batch: LaneBatch, lane_outcomes: LaneOutcomes) -> bool:
        """Decide the event over which the process ended, when it is in the batch."""
        suspect = self._plan.suspect_offset
        if suspect is None or suspect >= batch.end:
            return False
        self._plan = BisectPlan(self._plan.suspect_ranges)
        found = [event for offset, event in batch.wanted if offset == suspect]
        lane_outcomes.add(DecidedEvent(suspect, event, INTERRUPTED) for event in found)
        return bool(found)

    async def settled(self, cursor: int) -> None:
        """Note how far the lane is settled; forget the mark once that is beyond it."""
        if self._marker is not None and cursor >= self._marker.last_end:
            await self._ledger.change_values([ValueChange(self._name, None)])
            self.is_done = True
