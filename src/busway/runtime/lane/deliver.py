"""The delivering loop: one lane reads a batch, and works it until it is settled."""

from __future__ import annotations

import asyncio

from busway.lane import Lane
from busway.runtime.context import LaneConsumer
from busway.runtime.lane.attempt import Attempt, limit_batch
from busway.runtime.lane.batch import LaneBatch, cut_batch, limit_offset
from busway.runtime.lane.isolation import Isolation
from busway.runtime.lane.outcome import LaneOutcomes
from busway.runtime.lane.poison_bisection import PoisonBisection
from busway.runtime.loop import Loop
from busway.settlement import OffsetRange

READ_BYTES = 1024 * 1024
MAX_EVENTS = 5_000


class Deliverer:
    """Works one lane, from its cursor on; with care as long as ``bisection`` says so."""

    def __init__(
        self, consumer: LaneConsumer, lane: Lane, bisection: PoisonBisection | None = None
    ) -> None:
        self._consumer = consumer
        self._bisection = bisection
        self._cursor = lane.cursor
        self._is_cursor_known = True
        """Whether the cursor is known; a settlement that was not answered may have moved it."""
        self._is_blocked = False
        """Whether nothing could be settled: an event behind may get through where this cannot."""
        self._outcomes = LaneOutcomes()
        self._isolation = Isolation()
        self._generation = consumer.context.log_reader.generation

    async def run_once(self, loop: Loop) -> None:
        """Work one batch, or wait for one."""
        if self._consumer.lease.is_lost:
            with loop.interruptible():
                await asyncio.Event().wait()
        if (
            self._generation != self._consumer.context.log_reader.generation
        ):  # what it knows may be of events that are lost
            self._generation, self._is_cursor_known, self._outcomes = (
                self._consumer.context.log_reader.generation,
                False,
                LaneOutcomes(),
            )
        if not self._is_cursor_known:
            await self._reload_cursor()
        if not self._is_cursor_known:
            return
        follow, partition = self._consumer.context.log_reader, self._consumer.partition
        valve = self._consumer.pause_gate
        if not valve.accepts(partition, self._cursor):
            with loop.interruptible():
                await valve.wait_accepting(partition, self._cursor)
        with loop.interruptible():  # a lane that has read all asks the log nothing
            await follow.wait(partition, self._cursor)
        read = follow.read_further if self._is_blocked else follow.read
        matched = await read(partition, self._cursor, READ_BYTES)
        batch = cut_batch(matched, self._consumer.rule_number, self._cursor, MAX_EVENTS)
        hole = not matched or matched[0].batch.offset > self._cursor
        if batch is None:
            batch = await self._trailing_gap()
        if batch is None or not valve.accepts(partition, self._cursor):  # it was turned meanwhile
            return
        batch = limit_batch(self._consumer, batch, self._outcomes)
        goal = valve.drain_target(partition)
        batch = batch if goal is None else limit_offset(batch, goal)
        await self._deliver_batch(loop, self._isolation.narrow(batch), gap=hole)

    async def _deliver_batch(self, loop: Loop, batch: LaneBatch, *, gap: bool) -> None:
        """Work a batch, from the cursor on."""
        if self._bisection is not None:
            batch = await self._bisection.narrow(batch, self._outcomes)
        before, self._is_cursor_known = self._cursor, False
        passage = Attempt(self._consumer, batch, self._outcomes, self._generation).run(loop)
        cursor = await self._isolation.run(passage, batch, self._outcomes)
        if cursor is None:
            return
        self._cursor, self._is_cursor_known, self._is_blocked = cursor, True, cursor == before
        if gap:
            lost = OffsetRange(self._consumer.partition, before, cursor)
            self._consumer.context.observer.events_lost(self._consumer.flow.name, lost)
        await self._advance_bisection()

    async def _trailing_gap(self) -> LaneBatch | None:
        """Return the hole from the cursor up to the end of the log, if that is one."""
        follow, partition = self._consumer.context.log_reader, self._consumer.partition
        end = await follow.end(partition)
        if end <= self._cursor or await follow.read(partition, self._cursor, READ_BYTES):
            return None
        return LaneBatch(self._cursor, end, (), ())

    async def _advance_bisection(self) -> None:
        if self._bisection is not None:
            await self._bisection.settled(self._cursor)
            self._bisection = None if self._bisection.is_done else self._bisection

    async def _reload_cursor(self) -> None:
        to = self._consumer
        lane: Lane | None
        if to.lease.fencing_token:
            lane = await to.current_lane()
        else:
            lane = await to.context.ledger.open_lane(to.flow.name, to.partition, self._cursor)
        if lane is not None:
            self._move_cursor(lane.cursor)

    def _move_cursor(self, cursor: int) -> None:
        """Go on there; what is known of events beyond it stays so, and they do not go again."""
        if cursor < self._cursor:
            self._outcomes = LaneOutcomes()
        self._outcomes.discard(cursor)
        self._cursor, self._is_cursor_known = cursor, True
