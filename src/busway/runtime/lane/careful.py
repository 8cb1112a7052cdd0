"""Working carefully after an unclean end: what is in hand is marked in the ledger.

In normal running nothing is marked. That the process runs is kept from its start to its orderly
stop; what finds that at a start knows that the one before ended in the middle. So it does where it
finds lanes that workers had.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import msgspec

from busway.control.record import HAND, RUNNING
from busway.delivery.care import INTERRUPTED, Care, Mark, care
from busway.delivery.settle import Decided
from busway.lane import Change, Lane
from busway.ports import Ledger
from busway.runtime.lane.fate import Fates
from busway.runtime.lane.portion import Portion, shortened
from busway.runtime.lane.portion import ended as cut_off
from busway.runtime.lease.inherit import release


async def begun(ledger: Ledger, at: datetime) -> Mapping[str, Mark] | None:
    """Keep that the process runs; return the marks of the one before when it ended uncleanly."""
    marks = await ledger.get(HAND)
    held = [lane for lane in await ledger.lanes() if lane.worker is not None]
    unclean = bool(held) or RUNNING in await ledger.get(RUNNING)
    running = Change(RUNNING, msgspec.json.encode(at))
    stale = () if unclean else [Change(name, None) for name in marks]
    await ledger.change([running, *stale])
    await release(ledger, held)
    if not unclean:
        return None
    return _decoded(marks)


async def marked(ledger: Ledger) -> Mapping[str, Mark]:
    """Return what lanes have in hand, or had when those ended that worked them."""
    return _decoded(await ledger.get(HAND))


def _decoded(marks: Mapping[str, bytes]) -> Mapping[str, Mark]:
    return {name: msgspec.json.decode(value, type=Mark) for name, value in marks.items()}


async def ended(ledger: Ledger) -> None:
    """Keep that the process stopped in good order: what was marked says nothing any more.

    A lane whose process died right after it had settled has its mark until its next event.
    """
    await ledger.change([Change(name, None) for name in (RUNNING, *await ledger.get(HAND))])


class Careful:
    """The care of one lane, until its first events after an unclean end are settled."""

    def __init__(self, ledger: Ledger, lane: Lane, marks: Mapping[str, Mark]) -> None:
        self._ledger = ledger
        self._name = f"{HAND}{lane.flow}/{lane.partition}"
        mark = marks.get(self._name)
        self._care = care(mark, lane.cursor)
        self._marked = mark
        self.over = False

    async def take(self, portion: Portion, fates: Fates) -> Portion:
        """Return what to work now of a portion, marked; the suspect has failed already."""
        ahead = tuple(one for one in self._care.stretches if one.end > portion.start)
        if ahead:
            portion = shortened(cut_off(portion, ahead[0].end), ahead[0].most)
        if self._condemned(portion, fates):
            return portion
        if portion.wanted:
            only = portion.wanted[0][0] if len(portion.wanted) == 1 else None
            self._marked = Mark(portion.end, only, len(portion.wanted), ahead)
            await self._ledger.put(self._name, msgspec.json.encode(self._marked))
        return portion

    def _condemned(self, portion: Portion, fates: Fates) -> bool:
        """Decide the event over which the process ended, when it is in the portion."""
        suspect = self._care.suspect
        if suspect is None or suspect >= portion.end:
            return False
        self._care = Care(self._care.stretches)
        found = [event for offset, event in portion.wanted if offset == suspect]
        fates.add(Decided(suspect, event, INTERRUPTED) for event in found)
        return bool(found)

    async def passed(self, cursor: int) -> None:
        """Note how far the lane is settled; forget the mark once that is beyond it."""
        if self._marked is not None and cursor >= self._marked.until:
            await self._ledger.change([Change(self._name, None)])
            self.over = True
