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
from busway.runtime.lane.failure_bisection import exception_failure
from busway.runtime.lane.key_order import KeyRuns, hold_back_by_key, in_key_order
from busway.runtime.lane.transform import decide_outcome, transform
from busway.runtime.loop import Loop

POLL_S = 0.5
MAX_EVENTS = 500
_PROBE_CANDIDATES = 100
_WITHIN_POLL = timedelta(seconds=POLL_S)
_Success = Literal["delivered", "filtered"]


class Retrier:
    """Retries the parked events of one flow.

    ``consumers`` are its lanes by partition; more may be added later. If they are ``leased``, the
    failed events of other lanes are not read.
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
        """Retry the events that are due, or wait for one."""
        if not self._pause_gate.is_open:
            with loop.interruptible():
                await self._pause_gate.wait_open()
        lanes: defaultdict[int, list[FailedEvent]] = defaultdict(list)
        for event in await self._due_events():
            if self._may_retry(event.partition):
                lanes[event.partition].append(event)
        if not lanes:
            wait_s = self._wait_s()
            with loop.interruptible():
                await self._context.clock.sleep(wait_s)
        for partition, events in lanes.items():
            await self._retry(loop, self._consumers[partition], events)

    def _may_retry(self, partition: int) -> bool:
        """Return whether this process may retry the parked events of a partition now."""
        consumer = self._consumers.get(partition)
        return consumer is not None and consumer.lease.is_held

    def _wait_s(self) -> float:
        """Return how long to sleep: until the next event that failed here is due, but not long."""
        if not self._due_times or not self._guard.is_closed:
            return POLL_S
        return min(
            max((self._due_times[0] - self._context.clock.now()).total_seconds(), 0.0), POLL_S
        )

    async def _due_events(self) -> Sequence[FailedEvent]:
        """Return the events to retry now; a single one if the destination has to be probed."""
        now, expected = self._context.clock.now(), self._may_have_more
        while self._due_times and self._due_times[0] <= now:
            heapq.heappop(self._due_times)
            expected = True
        self._may_have_more = False
        if self._guard.wait_s() != 0.0:
            return ()
        if not expected and not await self._context.due_retries.has_due(self._flow.name):
            return ()
        limit = min(MAX_EVENTS, self._rate_limiter.burst or MAX_EVENTS)
        limit = limit if self._guard.is_closed else _PROBE_CANDIDATES
        query = FailedEventQuery(state="parked", flow=self._flow.name, due_by=now, limit=limit)
        if self._leased:
            query = msgspec.structs.replace(query, partitions=tuple(self._consumers))
        due = await self._context.ledger.failed_events(query)
        self._may_have_more = bool(due)
        return due if self._guard.is_closed else self._choose_probe(due)

    def _choose_probe(self, failed_events: Sequence[FailedEvent]) -> Sequence[FailedEvent]:
        """Choose an event at random, preferably one that the poison detector does not suspect."""
        lanes, suspects = self._consumers, self._guard.poison_detector
        retryable = [event for event in failed_events if event.partition in lanes]
        unsuspected = [
            event
            for event in retryable
            if lanes[event.partition].sink_lane.event_ref(event.offset) not in suspects
        ]
        candidates = unsuspected or retryable
        return [self._restore_suspicion(random.choice(candidates))] if candidates else ()

    def _restore_suspicion(self, failed_event: FailedEvent) -> FailedEvent:
        """Suspect a probe if other events were delivered since it failed."""
        delivered_at, failures = self._guard.last_delivered_at, failed_event.failures
        if failures and delivered_at is not None and failures[-1].at < delivered_at:
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
        finally:  # also if the claim itself was cut off: the ledger may have applied it
            await self._claims.release()
        await self._isolate(loop, consumer, failed_events, failure)

    async def _isolate(
        self,
        loop: Loop,
        consumer: LaneConsumer,
        failed_events: Sequence[FailedEvent],
        error: Exception,
    ) -> None:
        """Retry the halves of a batch that raised; a single event has failed with the error."""
        if len(failed_events) > 1:
            middle = len(failed_events) // 2
            await self._retry(loop, consumer, failed_events[:middle])
            await self._retry(loop, consumer, failed_events[middle:])
            return
        claimed = await self._claims.claim(failed_events)
        at, failure = self._context.clock.now(), exception_failure(exception_text(error))
        resolutions = [self._resolution(event, failure, at) for event in claimed]
        self._report(resolutions)
        async with consumer.lock:
            await self._claims.resolve(resolutions)

    async def _attempt(
        self, loop: Loop, consumer: LaneConsumer, failed_events: Sequence[FailedEvent]
    ) -> None:
        """Run failed events through their flow, and resolve each."""
        ordered = sorted(failed_events, key=lambda failed: failed.offset)
        wanted = [(failed.offset, _next_attempt(failed)) for failed in ordered]
        items, decided = await transform(
            consumer.flow, wanted, consumer.guard.redact.hide, consumer.context.step_threads
        )
        unfiltered = {item.offset for item in items} | {event.offset for event in decided}
        decided += [
            DecidedEvent(offset, event, "filtered")
            for offset, event in wanted
            if offset not in unfiltered
        ]
        if consumer.flow.ordered:
            items, decided = hold_back_by_key(items, decided)
        decided += await self._load(loop, consumer, items)
        if consumer.flow.ordered:
            decided = in_key_order(wanted, decided)
        by_offset = {failed.offset: failed for failed in failed_events}
        at = self._context.clock.now()
        resolutions = [
            self._resolution(by_offset[event.offset], event.outcome, at)
            for event in decided
            if not isinstance(event.outcome, BlockedByKey)
        ]
        self._report(resolutions)
        final = {resolution.offset for resolution in resolutions if _is_final(resolution)}
        self._key_runs.record(failed_events, final)
        async with consumer.lock:
            await self._claims.resolve(resolutions)

    async def _with_followers(
        self, consumer: LaneConsumer, failed_events: Sequence[FailedEvent]
    ) -> Sequence[FailedEvent]:
        """Add the events that wait behind an event that itself only waited, to save round trips.

        Their number adapts to what succeeds: an event behind one that fails again was claimed in
        vain.
        """
        room = self._key_runs.lengths([event for event in failed_events if not event.attempts])
        if not room:
            return failed_events
        query = FailedEventQuery(
            flow=consumer.flow.name,
            partition=consumer.partition,
            keys=tuple(room),
            limit=MAX_EVENTS,
        )
        batch = {event.offset: event for event in failed_events}
        for event in await self._context.ledger.failed_events(query):
            key = event.key
            if event.offset in batch or key is None or not room[key]:
                continue
            if event.due is None:
                batch[event.offset] = event
            room[key] = 0 if event.due is not None else room[key] - 1
        return list(batch.values())

    async def _load(
        self, loop: Loop, consumer: LaneConsumer, items: Sequence[LoadItem]
    ) -> list[DecidedEvent]:
        if not items:
            return []
        with loop.interruptible():
            admission = await self._try_admit(consumer, len(items))
        if admission is None:
            return []
        load = Load(
            consumer.sink_lane,
            items,
            ordered=consumer.flow.ordered,
            permits=consumer.permits,
            fencing_token=consumer.lease.fencing_token,
        )
        began = time.perf_counter()
        outcomes = await consumer.deliver(load, admission)
        took_s = time.perf_counter() - began
        decided = [
            decide_outcome(item, outcome, took_s)
            for item, outcome in zip(items, outcomes, strict=True)
        ]
        return [event for event in decided if event is not None]

    async def _try_admit(self, consumer: LaneConsumer, count: int) -> Admission | None:
        """Return the admission of ``count`` events; ``None`` if a single event has to probe first.

        It does not wait for a destination that is down: the claimed events would lose an attempt
        if the process ended meanwhile.
        """
        admission = await consumer.try_admit(count)
        if admission is not None and admission.probing and count > 1:
            self._guard.yield_probe()
            admission.grant.refund(admission.grant.count)
            return None
        return admission

    def _resolution(
        self, failed_event: FailedEvent, result: _Success | FailedAttempt, at: datetime
    ) -> Resolution:
        outcome: _Success | FailedEvent
        if isinstance(result, FailedAttempt):
            outcome = record_failure(
                self._context.settlement_context(self._flow), failed_event, result
            )
            if outcome.due is not None and outcome.due - at <= _WITHIN_POLL:
                heapq.heappush(self._due_times, outcome.due)
        else:
            outcome = result
        return Resolution(
            *failed_event.ref,
            failed_event.attempts,
            failed_event.state,
            outcome,
            at,
            self._flow.version,
        )

    def _report(self, resolutions: Sequence[Resolution]) -> None:
        counts = Counter(
            outcome.state if isinstance(outcome, FailedEvent) else outcome
            for outcome in (resolution.outcome for resolution in resolutions)
        )
        for name, count in counts.items():
            self._context.observer.retried(self._flow.name, name, count)


def _is_final(resolution: Resolution) -> bool:
    return not isinstance(resolution.outcome, FailedEvent) or resolution.outcome.state == "dead"


def _next_attempt(failed_event: FailedEvent) -> Event:
    return Event.from_json(failed_event.event, attempt=failed_event.attempts + 1)
