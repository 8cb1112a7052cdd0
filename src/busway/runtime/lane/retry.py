"""The retrying loop: parked events that are due go through their flow again."""

from __future__ import annotations

import heapq
import random
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from busway.delivery.settlement import (
    BlockedByKey,
    DecidedEvent,
    FailedAttempt,
    record_failure,
)
from busway.errors import StoreError
from busway.event import Event
from busway.exception_text import exception_text
from busway.failed_event import FailedEvent, FailedEventQuery, Resolution
from busway.ports import Load, LoadItem
from busway.runtime.context import Admission, Context, LaneConsumer
from busway.runtime.lane.claim import RetryClaims
from busway.runtime.lane.isolation import exception_failure
from busway.runtime.lane.key_order import KeyRuns, hold_back_by_key, in_key_order
from busway.runtime.lane.transform import decide_outcome, transform
from busway.runtime.loop import Loop

POLL_S = 0.5
MAX_EVENTS = 500
_PROBE_CANDIDATES = 100
_WITHIN_POLL = timedelta(seconds=POLL_S)
_Success = Literal["delivered", "filtered"]


class Retrier:
    """Retries one flow's parked events; ``consumers`` are its lanes, by partition.

    They may become more; where they are ``leased``, nothing of other lanes is looked at.
    """

    def __init__(
        self, context: Context, consumers: Mapping[int, LaneConsumer], *, leased: bool = False
    ) -> None:
        self._leased = leased
        self._context = context
        self._consumers = consumers
        first = next(iter(consumers.values()))
        self._guard = first.guard
        self._rate_limiter = first.rate_limiter
        self._pause_gate = first.pause_gate
        self._flow = first.flow
        self._due_times: list[datetime] = []
        self._may_have_more = False
        self._key_runs = KeyRuns(MAX_EVENTS)
        self._claims = RetryClaims(context, first.flow)

    async def run_once(self, loop: Loop) -> None:
        """Retry what is due, or wait until something is."""
        if not self._pause_gate.is_open:
            with loop.interruptible():
                await self._pause_gate.wait_open()
        lanes: defaultdict[int, list[FailedEvent]] = defaultdict(list)
        for trouble in await self._due_events():
            if self._may_retry(trouble.partition):
                lanes[trouble.partition].append(trouble)
        if not lanes:
            wait_s = self._wait_s()
            with loop.interruptible():
                await self._context.clock.sleep(wait_s)
        for partition, troubles in lanes.items():
            await self._retry(loop, self._consumers[partition], troubles)

    def _may_retry(self, partition: int) -> bool:
        """Say whether what is parked in a partition may be retried here now."""
        to = self._consumers.get(partition)
        return to is not None and to.lease.is_held

    def _wait_s(self) -> float:
        """Return how long to sleep: until what failed here is due, and never long."""
        if not self._due_times or not self._guard.is_closed:
            return POLL_S
        return min(
            max((self._due_times[0] - self._context.clock.now()).total_seconds(), 0.0), POLL_S
        )

    async def _due_events(self) -> Sequence[FailedEvent]:
        """Return what to retry now: one event when the destination has to be probed."""
        now, known = self._context.clock.now(), self._may_have_more
        while self._due_times and self._due_times[0] <= now:
            heapq.heappop(self._due_times)
            known = True
        self._may_have_more = False
        if self._guard.wait_s() != 0.0:
            return ()
        if not known and not await self._context.due_retries.has_due(self._flow.name):
            return ()
        limit = min(MAX_EVENTS, self._rate_limiter.burst or MAX_EVENTS)
        limit = limit if self._guard.is_closed else _PROBE_CANDIDATES
        query = FailedEventQuery(state="parked", flow=self._flow.name, due_by=now, limit=limit)
        if self._leased:
            query = msgspec.structs.replace(query, partitions=tuple(self._consumers))
        found = await self._context.ledger.failed_events(query)
        self._may_have_more = bool(found)  # there may be more where these came from
        return found if self._guard.is_closed else self._choose_probe(found)

    def _choose_probe(self, failed_events: Sequence[FailedEvent]) -> Sequence[FailedEvent]:
        """Choose one by chance, rather not one that may be the cause of the trouble."""
        lanes, suspects = self._consumers, self._guard.poison_detector
        known = [one for one in failed_events if one.partition in lanes]
        free = [
            one
            for one in known
            if lanes[one.partition].sink_lane.event_ref(one.offset) not in suspects
        ]
        choice = free or known
        return [self._restore_suspicion(random.choice(choice))] if choice else ()

    def _restore_suspicion(self, failed_event: FailedEvent) -> FailedEvent:
        """Remember of a probe that others have landed since it failed: it may be its own fault."""
        landed_at, failures = self._guard.last_delivered_at, failed_event.failures
        if failures and landed_at is not None and failures[-1].at < landed_at:
            lane = self._consumers[failed_event.partition].sink_lane
            self._guard.poison_detector.restore(lane.event_ref(failed_event.offset))
        return failed_event

    async def _retry(
        self, loop: Loop, consumer: LaneConsumer, failed_events: Sequence[FailedEvent]
    ) -> None:
        if consumer.flow.ordered and self._guard.is_closed:
            failed_events = await self._with_followers(consumer, failed_events)
        try:
            await self._attempt(loop, consumer, await self._claims.claim(failed_events))
        except StoreError:
            raise
        except Exception as error:
            failure = error
        else:
            return
        finally:  # also of a beginning that was cut off: it may have landed
            await self._claims.release()
        await self._isolate(loop, consumer, failed_events, failure)

    async def _isolate(
        self,
        loop: Loop,
        consumer: LaneConsumer,
        failed_events: Sequence[FailedEvent],
        error: Exception,
    ) -> None:
        """Retry the halves of what raised an exception; a single event failed by it."""
        if len(failed_events) > 1:
            middle = len(failed_events) // 2
            await self._retry(loop, consumer, failed_events[:middle])
            await self._retry(loop, consumer, failed_events[middle:])
            return
        begun = await self._claims.claim(failed_events)
        at, problem = self._context.clock.now(), exception_failure(exception_text(error))
        resolutions = [self._resolution(one, problem, at) for one in begun]
        self._report(resolutions)
        async with consumer.lock:
            await self._claims.resolve(resolutions)

    async def _attempt(
        self, loop: Loop, consumer: LaneConsumer, failed_events: Sequence[FailedEvent]
    ) -> None:
        """Take troubles through their flow, and judge what became of each."""
        ordered = sorted(failed_events, key=lambda trouble: trouble.offset)
        wanted = [(one.offset, _next_attempt(one)) for one in ordered]
        items, decided = await transform(
            consumer.flow, wanted, consumer.guard.redact.hide, consumer.context.step_threads
        )
        touched = {item.offset for item in items} | {one.offset for one in decided}
        decided += [
            DecidedEvent(offset, event, "filtered")
            for offset, event in wanted
            if offset not in touched
        ]
        if consumer.flow.ordered:
            items, decided = hold_back_by_key(items, decided)
        decided += await self._load(loop, consumer, items)
        if consumer.flow.ordered:
            decided = in_key_order(wanted, decided)
        by_offset = {one.offset: one for one in failed_events}
        at = self._context.clock.now()
        resolutions = [
            self._resolution(by_offset[one.offset], one.outcome, at)
            for one in decided
            if not isinstance(one.outcome, BlockedByKey)
        ]
        self._report(resolutions)
        gone = {one.offset for one in resolutions if _is_final(one)}
        self._key_runs.record(failed_events, gone)
        async with consumer.lock:
            await self._claims.resolve(resolutions)

    async def _with_followers(
        self, consumer: LaneConsumer, failed_events: Sequence[FailedEvent]
    ) -> Sequence[FailedEvent]:
        """Add what waits behind an event that only waited itself: together they are quicker.

        As many as go well: what is behind one that fails again was begun in vain.
        """
        room = self._key_runs.lengths([one for one in failed_events if not one.attempts])
        if not room:
            return failed_events
        query = FailedEventQuery(
            flow=consumer.flow.name,
            partition=consumer.partition,
            keys=tuple(room),
            limit=MAX_EVENTS,
        )
        found = {one.offset: one for one in failed_events}
        for one in await self._context.ledger.failed_events(query):
            key = one.key
            if one.offset in found or key is None or not room[key]:
                continue
            if one.due is None:
                found[one.offset] = one
            room[key] = 0 if one.due is not None else room[key] - 1
        return list(found.values())

    async def _load(
        self, loop: Loop, consumer: LaneConsumer, items: Sequence[LoadItem]
    ) -> list[DecidedEvent]:
        if not items:
            return []
        with loop.interruptible():
            leave = await self._try_admit(consumer, len(items))
        if leave is None:
            return []
        ordered, epoch = consumer.flow.ordered, consumer.lease.fencing_token
        load = Load(
            consumer.sink_lane,
            items,
            ordered=ordered,
            permits=consumer.permits,
            fencing_token=epoch,
        )
        began = time.perf_counter()
        outcomes = await consumer.deliver(load, leave)
        took_s = time.perf_counter() - began
        fates = [
            decide_outcome(item, one, took_s) for item, one in zip(items, outcomes, strict=True)
        ]
        return [fate for fate in fates if fate is not None]

    async def _try_admit(self, consumer: LaneConsumer, count: int) -> Admission | None:
        """Return leave to go, ``None`` when the destination is to be probed first, by one alone.

        Nothing waits here for a destination that is down: what is begun would count as an attempt
        if the process ended.
        """
        leave = await consumer.try_admit(count)
        if leave is not None and leave.probing and count > 1:
            self._guard.yield_probe()
            leave.grant.refund(leave.grant.count)
            return None
        return leave

    def _resolution(
        self, failed_event: FailedEvent, result: _Success | FailedAttempt, at: datetime
    ) -> Resolution:
        became: _Success | FailedEvent
        if isinstance(result, FailedAttempt):
            became = record_failure(
                self._context.settlement_context(self._flow), failed_event, result
            )
            if became.due is not None and became.due - at <= _WITHIN_POLL:
                heapq.heappush(self._due_times, became.due)
        else:
            became = result
        place = (failed_event.flow, failed_event.partition, failed_event.offset)
        return Resolution(
            *place, failed_event.attempts, failed_event.state, became, at, self._flow.version
        )

    def _report(self, resolutions: Sequence[Resolution]) -> None:
        fates = Counter(
            one.outcome.state if isinstance(one.outcome, FailedEvent) else one.outcome
            for one in resolutions
        )
        for fate, count in fates.items():
            self._context.observer.retried(self._flow.name, fate, count)


def _is_final(resolution: Resolution) -> bool:
    return not isinstance(resolution.outcome, FailedEvent) or resolution.outcome.state == "dead"


def _next_attempt(failed_event: FailedEvent) -> Event:
    return Event.from_json(failed_event.event, attempt=failed_event.attempts + 1)
