"""The delivery loop: a lane reads a batch and processes it until it is settled."""

from __future__ import annotations

import asyncio

from busway.lane import Lane
from busway.runtime.context import LaneConsumer
from busway.runtime.lane.attempt import Attempt, limit_batch
from busway.runtime.lane.batch import LaneBatch, cut_batch, limit_offset
from busway.runtime.lane.failure_bisection import Isolation
from busway.runtime.lane.outcome import LaneOutcomes
from busway.runtime.lane.poison_isolation import PoisonBisection
from busway.runtime.loop import Loop
from busway.settlement import OffsetRange

READ_BYTES = 1024 * 1024
MAX_EVENTS = 5_000


class Deliverer:
    """Processes one lane from its cursor on, in parts as long as ``bisection`` is set."""

    def __init__(
        self, consumer: LaneConsumer, lane: Lane, bisection: PoisonBisection | None = None
    ) -> None:
        self._consumer = consumer
        self._bisection = bisection
        self._cursor = lane.cursor
        self._is_cursor_known = True
        """False after a settlement without an answer, which may have moved the cursor."""
        self._is_blocked = False
        """Whether nothing could be settled; then events further on are tried as well."""
        self._outcomes = LaneOutcomes()
        self._isolation = Isolation()
        self._generation = consumer.context.log_reader.generation

    async def run_once(self, loop: Loop) -> None:
        """Process one batch, or wait for one."""
        if self._consumer.lease.is_lost:
            with loop.interruptible():
                await asyncio.Event().wait()
        generation = self._consumer.context.log_reader.generation
        if self._generation != generation:  # the events of its outcomes may be lost
            self._generation = generation
            self._is_cursor_known = False
            self._outcomes = LaneOutcomes()
        if not self._is_cursor_known:
            await self._reload_cursor()
        if not self._is_cursor_known:
            return
        log_reader, partition = self._consumer.context.log_reader, self._consumer.partition
        pause_gate = self._consumer.pause_gate
        if not pause_gate.accepts(partition, self._cursor):
            with loop.interruptible():
                await pause_gate.wait_accepting(partition, self._cursor)
        with loop.interruptible():  # a lane without a backlog does not query the log
            await log_reader.wait(partition, self._cursor)
        read = log_reader.read_further if self._is_blocked else log_reader.read
        matched = await read(partition, self._cursor, READ_BYTES)
        batch = cut_batch(matched, self._consumer.rule_number, self._cursor, MAX_EVENTS)
        gap = not matched or matched[0].batch.offset > self._cursor
        if batch is None:
            batch = await self._trailing_gap()
        if batch is None or not pause_gate.accepts(partition, self._cursor):  # paused meanwhile
            return
        batch = limit_batch(self._consumer, batch, self._outcomes)
        drain_target = pause_gate.drain_target(partition)
        batch = batch if drain_target is None else limit_offset(batch, drain_target)
        await self._deliver_batch(loop, self._isolation.narrow(batch), gap=gap)

    async def _deliver_batch(self, loop: Loop, batch: LaneBatch, *, gap: bool) -> None:
        """Process a batch, from the cursor on."""
        if self._bisection is not None:
            batch = await self._bisection.narrow(batch, self._outcomes)
        before, self._is_cursor_known = self._cursor, False
        attempt = Attempt(self._consumer, batch, self._outcomes, self._generation).run(loop)
        cursor = await self._isolation.run(attempt, batch, self._outcomes)
        if cursor is None:
            return
        self._cursor, self._is_cursor_known, self._is_blocked = cursor, True, cursor == before
        if gap:
            lost = OffsetRange(self._consumer.partition, before, cursor)
            self._consumer.context.observer.events_lost(self._consumer.flow.name, lost)
        await self._advance_bisection()

    async def _trailing_gap(self) -> LaneBatch | None:
        """Return the gap from the cursor to the end of the log, if there is one."""
        log_reader, partition = self._consumer.context.log_reader, self._consumer.partition
        end = await log_reader.end(partition)
        if end <= self._cursor or await log_reader.read(partition, self._cursor, READ_BYTES):
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
