"""One batch on its way: steps, sink, settlement."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import msgspec

from busway.delivery.settlement import BlockedByKey, DecidedEvent, settlement
from busway.event import Event
from busway.outcome import DELIVERED
from busway.ports import Load, LoadItem
from busway.runtime.context import Admission, LaneConsumer, StageTimes
from busway.runtime.lane.batch import LaneBatch, limit_events
from busway.runtime.lane.outcome import LaneOutcomes
from busway.runtime.lane.transform import transform
from busway.runtime.loop import Loop
from busway.settlement import OffsetRange


class FencedError(Exception):
    """What was done is not settled: somebody else moved the lane's cursor, or it may be lost."""


def limit_batch(consumer: LaneConsumer, batch: LaneBatch, lane_outcomes: LaneOutcomes) -> LaneBatch:
    """Return the part of a batch that may go at once, behind what has been tried already."""
    most = consumer.rate_limiter.burst
    if most is None or consumer.guard.opened.keeps_positions:
        return limit_events(batch, most)
    return limit_events(batch, most + len(lane_outcomes.undecided), lane_outcomes)


class Attempt:
    """Works one batch of a lane until it is settled.

    ``lane_outcomes`` is what events of the lane have come to already: in an earlier passage that
    could not settle them because an event before them found its destination down. ``generation``
    is the log's, from before the batch was read: in another one its events may be lost, and not be
    settled.
    """

    def __init__(
        self, consumer: LaneConsumer, batch: LaneBatch, lane_outcomes: LaneOutcomes, generation: int
    ) -> None:
        self._consumer = consumer
        self._batch = batch
        self._generation = generation
        self._outcomes = lane_outcomes
        self._outcomes.add(batch.decided)
        self._start = batch.start
        self._step_s = self._sink_s = 0.0

    async def run(self, loop: Loop) -> int:
        """Return the new cursor; what is known beyond it stays in the fates."""
        items = await self._transform()
        if items or (self._outcomes.undelivered_offsets() and self._keeps_positions):
            items = await self._load(loop, items)
        if not items:
            await self._settle(self._batch.end)
        return self._start

    async def _transform(self) -> list[LoadItem]:
        began = time.perf_counter()
        wanted = [one for one in self._batch.wanted if one[0] not in self._outcomes]
        if self._consumer.flow.ordered:
            wanted = self._hold_parked_keys(wanted, await self._parked_keys())
        items, failed = await transform(
            self._consumer.flow,
            wanted,
            self._consumer.guard.redact.hide,
            self._consumer.context.step_threads,
        )
        self._outcomes.add(failed)
        items = self._hold_back(items)
        self._step_s = time.perf_counter() - began
        return items

    def _hold_parked_keys(
        self, wanted: Sequence[tuple[int, Event]], keys: Mapping[str, int]
    ) -> list[tuple[int, Event]]:
        """Keep back the events whose key has parked ones."""
        free = []
        for offset, event in wanted:
            if event.key in keys:
                self._outcomes.add([DecidedEvent(offset, event, BlockedByKey())])
            else:
                free.append((offset, event))
        return free

    def _hold_back(self, items: list[LoadItem]) -> list[LoadItem]:
        """Keep back what comes after an event of its key that is going to be parked."""
        return self._outcomes.hold_back(items) if items and self._consumer.flow.ordered else items

    async def _load(self, loop: Loop, items: list[LoadItem]) -> list[LoadItem]:
        """Write until all is decided; return what is left when the lane should look again."""
        tries = 0
        while True:
            with loop.interruptible():
                await self._consumer.pause_gate.wait_open()
                if self._exceeds_rate(items):
                    return items
                chosen = self._choose(items)
                leave = await self._consumer.admit(len(chosen))
            if leave.probing and not self._keeps_positions:
                chosen = self._choose_probe(items, tries)
            left, refused = await self._write(items, chosen, leave)
            if not left and not refused:
                return []
            await self._settle_before(left)
            if self._should_look_again(left, refused=refused):
                return left
            items, tries = left, tries + 1

    def _should_look_again(self, left: Sequence[LoadItem], *, refused: bool) -> bool:
        """Say whether events behind may show what no event that is left can."""
        if not left or self._keeps_positions:
            return False
        if refused:
            return len(left) == 1
        return all(item.offset in self._outcomes.undecided for item in left)

    def _exceeds_rate(self, items: Sequence[LoadItem]) -> bool:
        """Say whether the pace has become so slow that the lane has to cut a smaller batch."""
        most = self._consumer.rate_limiter.burst
        return self._keeps_positions and most is not None and len(items) > most

    def _choose(self, items: list[LoadItem]) -> list[LoadItem]:
        """Return what goes at once, rather not what failed with nothing delivered since then.

        That is all for a sink that keeps positions: its load decides every offset of its range.
        """
        most = self._consumer.rate_limiter.burst
        if self._keeps_positions or most is None or len(items) <= most:
            return items
        lane, suspects = self._consumer.sink_lane, self._consumer.guard.poison_detector
        free: list[LoadItem] = []
        behind: set[str] = set()
        for item in items:
            key = item.event.key if self._consumer.flow.ordered else None
            if key in behind or suspects.is_unproven(lane.event_ref(item.offset)):
                behind |= set() if key is None else {key}
            elif len(free) < most:
                free.append(item)
        return free or items[:most]

    async def _write(
        self, items: list[LoadItem], chosen: list[LoadItem], admission: Admission
    ) -> tuple[list[LoadItem], bool]:
        """Try the chosen items; return those undecided, and whether it took none.

        A sink that keeps positions has to be told in a load of its own of what was decided here
        over its answer: what it takes for landed behind its back is not written by a retry.
        """
        began = time.perf_counter()
        outcomes = await self._consumer.deliver(self._create_load(chosen), admission)
        took_s = time.perf_counter() - began
        self._sink_s += took_s
        if not chosen:
            return [], bool(outcomes)
        self._outcomes.record(chosen, outcomes, took_s)
        left = self._hold_back(self._outcomes.undecided_items(items))
        if not left:
            return [], self._keeps_positions and outcomes.count(DELIVERED) < len(outcomes)
        return left, not self._consumer.guard.is_closed

    def _choose_probe(self, items: list[LoadItem], tries: int) -> list[LoadItem]:
        """Choose one item, another one each time, so that one bad event cannot pose as downtime."""
        if self._consumer.flow.ordered:
            first: dict[object, LoadItem] = {}
            for item in items:
                first.setdefault(item.offset if item.event.key is None else item.event.key, item)
            items = list(first.values())
        lane, suspects = self._consumer.sink_lane, self._consumer.guard.poison_detector
        free = [item for item in items if lane.event_ref(item.offset) not in suspects] or items
        return [free[tries % len(free)]]

    def _create_load(self, items: Sequence[LoadItem]) -> Load:
        to, holes = self._consumer, self._outcomes.undelivered_offsets()
        return Load(
            lane=to.sink_lane,
            items=items,
            start=self._start,
            end=self._batch.end,
            failed_offsets=holes,
            ordered=to.flow.ordered,
            permits=to.permits,
            fencing_token=to.lease.fencing_token,
        )

    async def _settle_before(self, left: Sequence[LoadItem]) -> None:
        """Settle what comes before the first undecided item.

        Not for a sink that keeps positions: it has to see the whole range, holes included.
        """
        if left and not self._keeps_positions and left[0].offset > self._start:
            await self._settle(left[0].offset)

    async def _settle(self, end: int) -> None:
        delivered, decided = self._outcomes.settleable(end)
        flow, context = self._consumer.flow, self._consumer.context
        began = time.perf_counter()
        async with self._consumer.lock:
            keys = await self._parked_keys() if flow.ordered else {}
            offsets = OffsetRange(self._consumer.partition, self._start, end)
            settled = settlement(
                context.settlement_context(flow), offsets, decided, keys, delivered
            )
            settled = msgspec.structs.replace(
                settled, fencing_token=self._consumer.lease.fencing_token
            )
            if context.log_reader.generation != self._generation:
                raise FencedError
            changes = self._consumer.settlement_changes(settled)
            (applied,) = await context.ledger.settle([settled], changes)
        if not applied:
            raise FencedError
        self._start = end
        self._outcomes.discard(end)
        times = StageTimes(self._step_s, self._sink_s, time.perf_counter() - began)
        context.observer.settled(settled, times)

    async def _parked_keys(self) -> Mapping[str, int]:
        return await self._consumer.context.ledger.parked_keys(
            self._consumer.flow.name, self._consumer.partition
        )

    @property
    def _keeps_positions(self) -> bool:
        return self._consumer.guard.opened.keeps_positions
