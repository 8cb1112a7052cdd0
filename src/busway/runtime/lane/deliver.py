"""The delivering loop: one lane reads a portion, and works it until it is settled."""

from __future__ import annotations

import asyncio

from busway.lane import Lane
from busway.runtime.hub import Assignment
from busway.runtime.lane.careful import Careful
from busway.runtime.lane.fate import Fates
from busway.runtime.lane.isolation import Isolation
from busway.runtime.lane.passage import Passage, paced
from busway.runtime.lane.portion import Portion, cut, ended
from busway.runtime.loop import Loop

READ_BYTES = 1024 * 1024
MOST_EVENTS = 5_000


class Deliverer:
    """Works one lane, from its cursor on; with care as long as ``careful`` says so."""

    def __init__(self, assignment: Assignment, lane: Lane, careful: Careful | None = None) -> None:
        self._to = assignment
        self._careful = careful
        self._cursor = lane.cursor
        self._known = True
        """Whether the cursor is known; a settlement that was not answered may have moved it."""
        self._stays = False
        """Whether nothing could be settled: an event behind may get through where this cannot."""
        self._fates = Fates()
        self._isolation = Isolation()
        self._era = assignment.hub.follow.era

    async def turn(self, loop: Loop) -> None:
        """Work one portion, or wait for one."""
        if self._to.tenure.lost:
            with loop.idle():
                await asyncio.Event().wait()
        if self._era != self._to.hub.follow.era:  # what it knows may be of events that are lost
            self._era, self._known, self._fates = self._to.hub.follow.era, False, Fates()
        if not self._known:
            await self._catch_up()
        if not self._known:
            return
        follow, partition = self._to.hub.follow, self._to.partition
        valve = self._to.valve
        if not valve.takes(partition, self._cursor):
            with loop.idle():
                await valve.ready(partition, self._cursor)
        with loop.idle():  # a lane that has read all asks the log nothing
            await follow.wait(partition, self._cursor)
        read = follow.read_further if self._stays else follow.read
        matched = await read(partition, self._cursor, READ_BYTES)
        portion = cut(matched, self._to.rule, self._cursor, MOST_EVENTS)
        hole = not matched or matched[0].batch.offset > self._cursor
        if portion is None:
            portion = await self._nothing()
        if portion is None or not valve.takes(partition, self._cursor):  # it was turned meanwhile
            return
        portion = paced(self._to, portion, self._fates)
        goal = valve.goal(partition)
        portion = portion if goal is None else ended(portion, goal)
        await self._work(loop, self._isolation.narrowed(portion), hole=hole)

    async def _work(self, loop: Loop, portion: Portion, *, hole: bool) -> None:
        """Work a portion, from the cursor on."""
        if self._careful is not None:
            portion = await self._careful.take(portion, self._fates)
        before, self._known = self._cursor, False
        passage = Passage(self._to, portion, self._fates, self._era).run(loop)
        cursor = await self._isolation.worked(passage, portion, self._fates)
        if cursor is None:
            return
        self._cursor, self._known, self._stays = cursor, True, cursor == before
        if hole:
            place = (self._to.flow.name, self._to.partition, before, cursor)
            self._to.hub.observer.missing(place)
        await self._passed()

    async def _nothing(self) -> Portion | None:
        """Return the hole from the cursor up to the end of the log, if that is one."""
        follow, partition = self._to.hub.follow, self._to.partition
        end = await follow.end(partition)
        if end <= self._cursor or await follow.read(partition, self._cursor, READ_BYTES):
            return None
        return Portion(self._cursor, end, (), ())

    async def _passed(self) -> None:
        if self._careful is not None:
            await self._careful.passed(self._cursor)
            self._careful = None if self._careful.over else self._careful

    async def _catch_up(self) -> None:
        to = self._to
        lane: Lane | None
        if to.tenure.epoch:
            lane = await to.found()
        else:
            lane = await to.hub.ledger.open_lane(to.flow.name, to.partition, self._cursor)
        if lane is not None:
            self._go_on_at(lane.cursor)

    def _go_on_at(self, cursor: int) -> None:
        """Go on there; what is known of events beyond it stays so, and they do not go again."""
        if cursor < self._cursor:
            self._fates = Fates()
        self._fates.forget(cursor)
        self._cursor, self._known = cursor, True
