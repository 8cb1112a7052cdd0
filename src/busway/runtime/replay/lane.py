"""One lane of a replay: from its cursor to the end that was fixed when the replay began."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Collection, Sequence

import msgspec

from busway.bus.follow import Matched, Matcher, match
from busway.delivery.replay import Selection, Span
from busway.event import Event
from busway.outcome import Down
from busway.ports import Log
from busway.runtime.lane.careful import Careful
from busway.runtime.lane.fate import Fates
from busway.runtime.lane.isolation import Isolation
from busway.runtime.lane.passage import Passage, paced
from busway.runtime.lane.portion import Portion, cut, ended, shortened
from busway.runtime.loop import Loop
from busway.runtime.replay.way import ReplayAssignment

READ_BYTES = 256 * 1024
MOST_EVENTS = 1_000
"""Less at a time than live lanes take: they are not to wait for it."""
_LEAST_ASKED = 50
_MOST_READS = 50
"""How many reads without anything selected are settled together."""


class Reading(msgspec.Struct, frozen=True):
    """Where a replay reads, and what it selects there."""

    log: Log
    matcher: Matcher
    selection: Selection


class ReplayLane:
    """Works one lane of a replay; with care as long as ``careful`` says so."""

    def __init__(
        self, to: ReplayAssignment, span: Span, reading: Reading, careful: Careful | None = None
    ) -> None:
        self._to = to
        self._start, self._end = span.start, span.end
        self._here = reading.selection.here(span.partition)
        self._narrow = reading.selection.narrow
        self._log = reading.log
        self._matcher = reading.matcher
        self._careful = careful
        self._cursor = -1
        self._known = False
        self._fates = Fates()
        self._isolation = Isolation()
        self._era = to.hub.follow.era
        self._read: Sequence[Matched] = ()
        self._ahead = Portion(-1, -1, (), ())

    @property
    def finished(self) -> bool:
        """Whether it is at its end, as far as it has looked."""
        return self._cursor >= self._end

    async def turn(self, loop: Loop) -> None:
        """Work one portion."""
        if self._era != self._to.hub.follow.era:
            self._era, self._known, self._cursor, self._read = (
                self._to.hub.follow.era,
                False,
                -1,
                (),
            )
        if not self._known:
            await self._catch_up()
        if self.finished:
            return
        if not self._to.valve.open:
            with loop.idle():
                await self._to.valve.opened()
        portion = await self._left_over(loop, await self._next())
        portion = self._isolation.narrowed(paced(self._to, portion, self._fates))
        if self._careful is not None:
            portion = await self._careful.take(portion, self._fates)
        self._known = False
        passage = Passage(self._to, portion, self._fates, self._era).run(loop)
        cursor = await self._isolation.worked(passage, portion, self._fates)
        if cursor is None:
            return
        self._cursor, self._known = cursor, True
        if self._careful is not None:
            await self._careful.passed(self._cursor)
            self._careful = None if self._careful.over else self._careful

    async def _catch_up(self) -> None:
        hub, to = self._to.hub, self._to
        lane = await hub.ledger.open_lane(to.flow.name, to.partition, self._start)
        await to.skips.recall()
        if lane.cursor != self._cursor:
            self._cursor, self._fates = lane.cursor, Fates()
            self._ahead = Portion(-1, -1, (), ())
        self._known = True

    async def _next(self) -> Portion:
        """Return what is next, with everything before it that is not selected."""
        ahead = _beyond(self._ahead, self._cursor)
        for _ in range(_MOST_READS):
            if ahead.wanted or ahead.decided or ahead.end >= self._end:
                break
            found = await self._portion(ahead.end)
            ahead = Portion(self._cursor, found.end, found.wanted, found.decided)
        self._ahead = ahead
        most = self._to.pace.most
        return shortened(ahead, MOST_EVENTS if most is None else max(most, _LEAST_ASKED))

    async def _portion(self, position: int) -> Portion:
        if not self._read or not self._holds(position):
            batches = await self._log.read(self._to.partition, position, READ_BYTES)
            # matching is a second's work for a large batch, so not on the loop
            self._read = [await asyncio.to_thread(match, self._matcher, one) for one in batches]
        found = cut(self._read, 0, position, MOST_EVENTS) or await self._nothing(position)
        return self._selected(ended(found, self._end))

    async def _nothing(self, position: int) -> Portion:
        """Return the hole from a position up to the end of the log."""
        _, end = await self._log.bounds(self._to.partition)
        if end <= position or await self._log.read(self._to.partition, position, 1):
            raise LookupError(f"the log ends before {position}, where a replay goes on")
        return Portion(position, end, (), ())

    def _holds(self, position: int) -> bool:
        return self._read[0].batch.offset <= position < self._read[-1].batch.end

    def _selected(self, portion: Portion) -> Portion:
        wanted = [one for one in portion.wanted if any(one[0] in here for here in self._here)]
        # what cannot be read cannot be asked whether it is one of those that are looked for
        decided = [
            one
            for one in portion.decided
            if not self._narrow and any(one.offset in here for here in self._here)
        ]
        return Portion(portion.start, portion.end, wanted, decided)

    async def _left_over(self, loop: Loop, portion: Portion) -> Portion:
        """Leave out what has landed; wait for a destination that has to be asked and is down."""
        open_ones = [one for one in portion.wanted if one[0] not in self._fates]
        landed = await self._landed(loop, open_ones) if open_ones else ()
        self._to.skips.next(landed)
        wanted = [one for one in portion.wanted if one[0] not in landed]
        return Portion(portion.start, portion.end, wanted, portion.decided)

    async def _landed(self, loop: Loop, events: Sequence[tuple[int, Event]]) -> Collection[int]:
        gate, landings = self._to.gate, self._to.landings
        while True:
            if landings.asks:
                with loop.idle():
                    await gate.ready()
                landed = await gate.ask(landings.landed(events))
            else:
                landed = await landings.landed(events)
            if not isinstance(landed, Down):
                return landed


def _beyond(portion: Portion, cursor: int) -> Portion:
    """Return the part of a portion from an offset on."""
    if not portion.start <= cursor < portion.end:
        return Portion(cursor, cursor, (), ())
    first = bisect_left(portion.wanted, cursor, key=lambda one: one[0])
    decided = [one for one in portion.decided if one.offset >= cursor]
    return Portion(cursor, portion.end, portion.wanted[first:], decided)
