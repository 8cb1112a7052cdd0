"""The staff of one replay: a loop that works its lanes, and one that retries what it parked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec

from busway.control.job import Job
from busway.control.replay.delivered import DeliveredLookup, LiveLane
from busway.control.replay.match import ReplayMatcher
from busway.control.replay.operation import (
    ReplayRequest,
    open_replay_lanes,
    progress_of,
    request_of,
)
from busway.delivery.poison import InFlightMarker
from busway.delivery.rate import Rate
from busway.delivery.replay import replay_lane_name, replay_mode
from busway.flow import Flow
from busway.ports import Log, Sink, SinkContext
from busway.runtime.admission.destination_guard import DestinationGuard
from busway.runtime.admission.opened_sink import OpenedSink
from busway.runtime.admission.pause_gate import PauseGate
from busway.runtime.admission.throttle import RateLimiter
from busway.runtime.context import Context, LaneConsumer
from busway.runtime.lane.poison_isolation import PoisonBisection
from busway.runtime.lane.retry import Retrier
from busway.runtime.lease.lease import Lease
from busway.runtime.loop import Loop
from busway.runtime.replay.consumer import ReplayLaneConsumer, SkipCounter
from busway.runtime.replay.lane import ReplayInput, ReplayLane

MarkerLookup = Callable[[str], Awaitable[Mapping[str, InFlightMarker] | None]]


class ReplayContext(msgspec.Struct, frozen=True):
    """What every replay of a process works on; ``file`` makes the sink of a path, ``on_finished``
    is called when one is at its end. ``markers`` returns what the lanes of a flow's replays had in
    hand when who worked them before ended uncleanly, ``None`` where that was in order. ``is_held``
    says of a flow whether its replays are worked here now."""

    context: Context
    log: Log
    file_sink: Callable[[str], Sink]
    sink_context: SinkContext
    on_finished: Callable[[], None]
    markers: MarkerLookup
    is_held: Callable[[str], bool]


class ReplayLaneLoop:
    """Works the lanes of a replay in turn, a batch each."""

    def __init__(self, lanes: Sequence[ReplayLane], on_finished: Callable[[], None]) -> None:
        self._lanes = lanes
        self._on_finished = on_finished
        self._rounds = 0

    async def run_once(self, loop: Loop) -> None:
        """Work one batch of the next lane, or wait to be stopped."""
        unfinished = [lane for lane in self._lanes if not lane.is_finished]
        if not unfinished:
            self._on_finished()
            with loop.interruptible():
                await asyncio.Event().wait()
        self._rounds += 1
        await unfinished[self._rounds % len(unfinished)].run_once(loop)


class ReplayRunner:
    """Works one replay until it is stopped."""

    def __init__(
        self, flow: str, loops: tuple[Loop, Loop], file_guard: DestinationGuard | None
    ) -> None:
        self.flow = flow
        self._file_guard = file_guard
        self._loops = loops
        for loop in self._loops:
            loop.start()

    @property
    def delivers_to_sink(self) -> bool:
        """Whether it loads into the flow's own sink, under the rates of that."""
        return self._file_guard is None

    @property
    def blocked_reason(self) -> str:
        """Why its file takes nothing now, where it does not."""
        return (
            ""
            if self._file_guard is None or self._file_guard.is_closed
            else self._file_guard.breaker.reason
        )

    async def stop(self, within_s: float) -> bool:
        """Finish the batch in hand and stop; say whether that ended in time."""
        for loop in self._loops:
            loop.stop()
        ended = await asyncio.gather(*(loop.join(within_s) for loop in self._loops))
        if self._file_guard is not None:
            await self._file_guard.opened.destination.close()
        return all(ended)


async def start_replay(
    replay_context: ReplayContext, flow: Mapping[int, LaneConsumer], job: Job
) -> ReplayRunner:
    """Return a staff at work on a replay of the flow with these lanes.

    Raises :class:`SinkError` for a file that cannot be opened.
    """
    request, spans = request_of(job), progress_of(job).spans
    opened = await open_replay_lanes(replay_context.context.ledger, job)
    file = await _open_file(replay_context, request)
    way = _ConsumerFactory(replay_context, job, request, file)
    ways = {one.partition: way.create(flow[one.partition]) for one in spans}
    pattern = next(iter(flow.values())).flow.pattern
    matcher = ReplayMatcher(pattern, request.select)
    reading = ReplayInput(replay_context.log, matcher, request.select)
    marks, ledger = await replay_context.markers(job.flow), replay_context.context.ledger
    lanes = [
        ReplayLane(
            ways[one.partition],
            one,
            reading,
            None if marks is None else PoisonBisection(ledger, lane, marks),
        )
        for one, lane in zip(spans, opened, strict=True)
    ]
    name, outage = replay_lane_name(job.flow, job.id), replay_context.context.outage_log
    work = Loop(name, ReplayLaneLoop(lanes, replay_context.on_finished).run_once, outage)
    retry = Loop(f"{name}/retry", Retrier(replay_context.context, ways).run_once, outage)
    return ReplayRunner(job.flow, (work, retry), file)


async def _open_file(
    replay_context: ReplayContext, request: ReplayRequest
) -> DestinationGuard | None:
    if request.into is None:
        return None
    sink = replay_context.file_sink(request.into)
    return DestinationGuard(
        OpenedSink(sink, await sink.open(replay_context.sink_context)), replay_context.context.clock
    )


class _ConsumerFactory:
    """Makes the assignments of a replay from those of its flow."""

    def __init__(
        self,
        replay_context: ReplayContext,
        job: Job,
        request: ReplayRequest,
        file_guard: DestinationGuard | None,
    ) -> None:
        self._replay_context = replay_context
        self._job = job
        self._request = request
        self._file_guard = file_guard
        self._rate_limiter: RateLimiter | None = None

    def create(self, live: LaneConsumer) -> ReplayLaneConsumer:
        """Return the replay's lane beside a lane of its flow."""
        ledger, partition = self._replay_context.context.ledger, live.partition
        given = {name: getattr(live, name) for name in LaneConsumer.__struct_fields__}
        given |= {
            "context": self._replay_context.context,
            "flow": self._replay_flow(live.flow),
            "rule_number": 0,
            "rate_limiter": self._shared_rate_limiter(live),
            "lock": asyncio.Lock(),
            "lease": Lease(is_trusted=lambda: self._replay_context.is_held(self._job.flow)),
            "delivered_lookup": self._delivered_lookup(live),
            "skip_counter": SkipCounter(ledger, self._job.id, partition),
        }
        if self._file_guard is not None:
            given |= {
                "guard": self._file_guard,
                "permits": self._file_guard.concurrency_limiter,
                "pause_gate": PauseGate(),
            }
        return ReplayLaneConsumer(**given)

    def _replay_flow(self, flow: Flow) -> Flow:
        return msgspec.structs.replace(
            flow,
            name=replay_lane_name(self._job.flow, self._job.id),
            original_name=replay_lane_name(flow.original_name, self._job.id),
        )

    def _shared_rate_limiter(self, live: LaneConsumer) -> RateLimiter:
        """Return the pace of all lanes: what was asked for, or what the flow declares."""
        if self._rate_limiter is None:
            asked = self._request.rate
            rate = live.flow.rate if asked is None else Rate.parse(asked)
            shared = () if self._file_guard else live.rate_limiter.shared_limiters
            self._rate_limiter = RateLimiter(rate, self._replay_context.context.clock, shared)
        return self._rate_limiter

    def _delivered_lookup(self, live: LaneConsumer) -> DeliveredLookup:
        flow, hub = live.flow, self._replay_context.context
        opened = (self._file_guard or live.guard).opened
        way = replay_mode(
            to_file=self._file_guard is not None,
            force=self._request.force,
            keeps_positions=opened.keeps_positions,
        )
        known = LiveLane(
            flow.name, flow.original_name, flow.version, hub.log_identity, live.partition
        )
        return DeliveredLookup(hub.ledger, known, way, opened.destination)
