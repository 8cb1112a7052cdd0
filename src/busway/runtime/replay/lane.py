"""One lane of a replay: from its cursor to the end that was fixed when the replay began."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Collection, Sequence

import msgspec

from busway.bus.reader import MatchedBatch, Matcher, match_batch
from busway.delivery.replay import ReplayRange, ReplaySelection
from busway.event import Event
from busway.outcome import Down
from busway.ports import Log
from busway.runtime.lane.attempt import Attempt, limit_batch
from busway.runtime.lane.batch import LaneBatch, cut_batch, limit_events, limit_offset
from busway.runtime.lane.failure_bisection import Isolation
from busway.runtime.lane.outcome import LaneOutcomes
from busway.runtime.lane.poison_isolation import PoisonBisection
from busway.runtime.loop import Loop
from busway.runtime.replay.consumer import ReplayLaneConsumer

READ_BYTES = 256 * 1024
MAX_EVENTS = 1_000
"""Less at a time than live lanes take: they are not to wait for it."""
_MIN_QUERY = 50
_MAX_READS = 50
"""How many reads without anything selected are settled together."""


class ReplayInput(msgspec.Struct, frozen=True):
    """Where a replay reads, and what it selects there."""

    log: Log
    matcher: Matcher
    selection: ReplaySelection


class ReplayLane:
    """Works one lane of a replay; with care as long as ``bisection`` says so."""

    def __init__(
        self,
        consumer: ReplayLaneConsumer,
        span: ReplayRange,
        replay_input: ReplayInput,
        bisection: PoisonBisection | None = None,
    ) -> None:
        self._consumer = consumer
        self._start, self._end = span.start, span.end
        self._here = replay_input.selection.ranges_in(span.partition)
        self._narrow = replay_input.selection.is_by_content
        self._log = replay_input.log
        self._matcher = replay_input.matcher
        self._bisection = bisection
        self._cursor = -1
        self._is_cursor_known = False
        self._outcomes = LaneOutcomes()
        self._isolation = Isolation()
        self._generation = consumer.context.log_reader.generation
        self._read: Sequence[MatchedBatch] = ()
        self._next_batch = LaneBatch(-1, -1, (), ())

    @property
    def is_finished(self) -> bool:
        """Whether it is at its end, as far as it has looked."""
        return self._cursor >= self._end

    async def run_once(self, loop: Loop) -> None:
        """Work one batch."""
        if self._generation != self._consumer.context.log_reader.generation:
            self._generation, self._is_cursor_known, self._cursor, self._read = (
                self._consumer.context.log_reader.generation,
                False,
                -1,
                (),
            )
        if not self._is_cursor_known:
            await self._reload_cursor()
        if self.is_finished:
            return
        if not self._consumer.pause_gate.is_open:
            with loop.interruptible():
                await self._consumer.pause_gate.wait_open()
        batch = await self._undelivered(loop, await self._read_next())
        batch = self._isolation.narrow(limit_batch(self._consumer, batch, self._outcomes))
        if self._bisection is not None:
            batch = await self._bisection.narrow(batch, self._outcomes)
        self._is_cursor_known = False
        passage = Attempt(self._consumer, batch, self._outcomes, self._generation).run(loop)
        cursor = await self._isolation.run(passage, batch, self._outcomes)
        if cursor is None:
            return
        self._cursor, self._is_cursor_known = cursor, True
        if self._bisection is not None:
            await self._bisection.settled(self._cursor)
            self._bisection = None if self._bisection.is_done else self._bisection

    async def _reload_cursor(self) -> None:
        hub, to = self._consumer.context, self._consumer
        lane = await hub.ledger.open_lane(to.flow.name, to.partition, self._start)
        await to.skip_counter.load()
        if lane.cursor != self._cursor:
            self._cursor, self._outcomes = lane.cursor, LaneOutcomes()
            self._next_batch = LaneBatch(-1, -1, (), ())
        self._is_cursor_known = True

    async def _read_next(self) -> LaneBatch:
        """Return what is next, with everything before it that is not selected."""
        ahead = _from_offset(self._next_batch, self._cursor)
        for _ in range(_MAX_READS):
            if ahead.wanted or ahead.decided or ahead.end >= self._end:
                break
            found = await self._batch(ahead.end)
            ahead = LaneBatch(self._cursor, found.end, found.wanted, found.decided)
        self._next_batch = ahead
        most = self._consumer.rate_limiter.burst
        return limit_events(ahead, MAX_EVENTS if most is None else max(most, _MIN_QUERY))

    async def _batch(self, position: int) -> LaneBatch:
        if not self._read or not self._is_held(position):
            batches = await self._log.read(self._consumer.partition, position, READ_BYTES)
            # matching is a second's work for a large batch, so not on the loop
            self._read = [
                await asyncio.to_thread(match_batch, self._matcher, one) for one in batches
            ]
        found = cut_batch(self._read, 0, position, MAX_EVENTS) or await self._trailing_gap(position)
        return self._select(limit_offset(found, self._end))

    async def _trailing_gap(self, position: int) -> LaneBatch:
        """Return the hole from a position up to the end of the log."""
        _, end = await self._log.bounds(self._consumer.partition)
        if end <= position or await self._log.read(self._consumer.partition, position, 1):
            raise LookupError(f"the log ends before {position}, where a replay goes on")
        return LaneBatch(position, end, (), ())

    def _is_held(self, position: int) -> bool:
        return self._read[0].batch.offset <= position < self._read[-1].batch.end

    def _select(self, batch: LaneBatch) -> LaneBatch:
        wanted = [one for one in batch.wanted if any(one[0] in here for here in self._here)]
        # what cannot be read cannot be asked whether it is one of those that are looked for
        decided = [
            one
            for one in batch.decided
            if not self._narrow and any(one.offset in here for here in self._here)
        ]
        return LaneBatch(batch.start, batch.end, wanted, decided)

    async def _undelivered(self, loop: Loop, batch: LaneBatch) -> LaneBatch:
        """Leave out what has landed; wait for a destination that has to be asked and is down."""
        open_ones = [one for one in batch.wanted if one[0] not in self._outcomes]
        landed = await self._query_delivered(loop, open_ones) if open_ones else ()
        self._consumer.skip_counter.skip_next(landed)
        wanted = [one for one in batch.wanted if one[0] not in landed]
        return LaneBatch(batch.start, batch.end, wanted, batch.decided)

    async def _query_delivered(
        self, loop: Loop, events: Sequence[tuple[int, Event]]
    ) -> Collection[int]:
        gate, landings = self._consumer.guard, self._consumer.delivered_lookup
        while True:
            if landings.queries_destination:
                with loop.interruptible():
                    await gate.wait_admitted()
                landed = await gate.query(landings.delivered(events))
            else:
                landed = await landings.delivered(events)
            if not isinstance(landed, Down):
                return landed


def _from_offset(batch: LaneBatch, cursor: int) -> LaneBatch:
    """Return the part of a batch from an offset on."""
    if not batch.start <= cursor < batch.end:
        return LaneBatch(cursor, cursor, (), ())
    first = bisect_left(batch.wanted, cursor, key=lambda one: one[0])
    decided = [one for one in batch.decided if one.offset >= cursor]
    return LaneBatch(cursor, batch.end, batch.wanted[first:], decided)
