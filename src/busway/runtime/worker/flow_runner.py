"""Starts and stops all loops that the flows of a program need."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime

from busway.bus.reader import SharedReader
from busway.control.context import ControlContext
from busway.control.operator_control.record import ControlTarget
from busway.control.record import breaker_records
from busway.delivery.poison import InFlightMarker
from busway.errors import BuswayError, SinkError
from busway.exception_text import exception_line
from busway.flow import CompiledApp, Flow
from busway.lane import Lane
from busway.ports import Destination, Log, Sink, SinkContext
from busway.redact import Redactor
from busway.rule import RuleIndex
from busway.runtime.admission.concurrency_limiter import (
    CombinedPermits,
    ConcurrencyLimiter,
)
from busway.runtime.admission.destination_guard import DestinationGuard
from busway.runtime.admission.named_limit import NamedLimit, named_limits
from busway.runtime.admission.opened_sink import OpenedSink
from busway.runtime.admission.operator_control import (
    ControlledFlow,
    Limiters,
    OperatorControlLoop,
)
from busway.runtime.admission.pause_gate import PausablePermits, PauseGate
from busway.runtime.admission.shared_breaker import SharedBreakers, start_from_shared
from busway.runtime.admission.throttle import RateLimiter
from busway.runtime.context import Context, LaneConsumer
from busway.runtime.lane.poison_isolation import PoisonBisection
from busway.runtime.lease.lease import Lease
from busway.runtime.loop import Loop
from busway.runtime.observe.state_recorder import StateRecorder
from busway.runtime.reader.readers import Readers
from busway.runtime.worker.coordinator import POLL_INTERVAL_S, Coordinator, LaneHolders
from busway.runtime.worker.flow_consumer import FlowConsumers
from busway.runtime.worker.flow_rename import reconcile_flow_names
from busway.secret import secrets_of
from busway.telemetry import redact_from_log


class FlowRunner:
    """Works the flows of one program until it is stopped.

    With a ``coordinator`` it is one of several workers, and has the lanes that it leases; without
    one it has them all.
    """

    def __init__(
        self,
        program: CompiledApp,
        context: Context,
        log: Log,
        recorder: StateRecorder,
        coordinator: Coordinator | None = None,
        readers: Readers | None = None,
    ) -> None:
        self.program = program
        self._readers = readers
        if coordinator is not None and readers is not None:
            coordinator.read = readers.wanted
        self._context = context
        self._log = log
        self._recorder = recorder
        self._coordinator = coordinator
        self._flow_consumers: dict[str, FlowConsumers] = {}
        self._guards: dict[Sink, DestinationGuard] = {}
        self._loops: list[Loop] = []
        self.consumers: dict[str, Mapping[int, LaneConsumer]] = {}
        """The lanes by flow and partition."""
        control = ControlContext(log=log, ledger=context.ledger, clock=context.clock)
        self._operator_control = OperatorControlLoop(control)
        self._rate_limiters: dict[str, RateLimiter] = {}
        self._named_limits: Mapping[str, NamedLimit] = {}
        self._secrets: set[str] = set()

    async def start(
        self, sink_context: SinkContext, markers: Mapping[str, InFlightMarker] | None = None
    ) -> None:
        """Open the sinks and the lanes, and start the loops.

        ``markers`` are what the lanes had in hand when the process before this ended uncleanly.
        Raises :class:`SinkError` when a sink can never work, :class:`StoreError` when the stores
        cannot be used; then nothing is left open.
        """
        try:
            lanes = await self._prepare(sink_context)
        except BaseException:
            await self._close_sinks()
            raise
        outage = self._context.outage_log
        self._loops.append(Loop("operator-control", self._operator_control.run_once, outage))
        self._loops.append(Loop("destination-probe", self._probe_destinations, outage))
        if self._coordinator is None:
            for lane in lanes:  # one that workers had before has their last epoch
                careful = (
                    None
                    if markers is None
                    else PoisonBisection(self._context.ledger, lane, markers)
                )
                self._flow_consumers[lane.flow].start_lane(lane, careful, Lease(lane.fencing_token))
        else:
            self._coordinator.work(self._flow_consumers, self.share_rates)
            shared = SharedBreakers(
                self._context.ledger, self._context.clock, self._guards.values()
            )
            self._loops.append(Loop("breakers", shared.run_once, outage, POLL_INTERVAL_S))
            self._loops.append(
                Loop("heartbeat", self._coordinator.heartbeat.run_once, outage, POLL_INTERVAL_S)
            )
            self._loops.append(
                Loop("coordinator", self._coordinator.run_once, outage, POLL_INTERVAL_S)
            )
        for loop in self._loops:
            loop.start()
        if self._readers is not None:
            self._readers.start()

    async def _probe_destinations(self, loop: Loop) -> None:
        """Try each destination until it has answered, so that one that is down shows at once."""
        with loop.interruptible():
            await asyncio.gather(*(gate.wait_reached() for gate in self._guards.values()))
            await asyncio.Event().wait()

    async def _prepare(self, sink_context: SinkContext) -> Sequence[Lane]:
        """Have everything be there that the loops need, and return the lanes."""
        self._secrets = {one for flow in self.program.flows for one in secrets_of(flow.sink)}
        redact_from_log(self._secrets)
        self._named_limits = named_limits(self.program.limits, self._context.clock)
        for flow in self.program.flows:
            await self._open_sink(flow.sink, sink_context)
        rules = {flow.name: number for number, flow in enumerate(self.program.flows)}
        lanes = await self.ensure_lanes()
        for flow in self.program.flows:
            self._add_flow(rules[flow.name], flow)
        await self._operator_control.refresh()
        return lanes

    async def ensure_lanes(self) -> Sequence[Lane]:
        """Have all lanes of the program be there, and return them."""
        self.program = await reconcile_flow_names(self._context, self._log, self.program)
        lanes = []
        for flow in self.program.flows:
            await self._recorder.save_flow(flow)
            for partition in range(self._log.partitions):
                beginning = await self._start_offset(flow, partition)
                lanes.append(await self._context.ledger.open_lane(flow.name, partition, beginning))
        return lanes

    @property
    def held_lanes(self) -> Mapping[str, int]:
        """How many lanes of each flow are worked here now."""
        return {name: len(team.leases) for name, team in self._flow_consumers.items()}

    @property
    def context(self) -> Context:
        """What its lanes share."""
        return self._context

    def destination(self, flow: str) -> Destination | None:
        """Return where a flow delivers to."""
        lanes = self.consumers.get(flow, {})
        return next((one.guard.opened.destination for one in lanes.values()), None)

    def wake(self) -> None:
        """Look at once at what people have changed."""
        self._operator_control.wake()
        if self._readers is not None:
            self._readers.wake()

    async def stop(self, within_s: float) -> bool:
        """Finish the batches in hand and stop; say whether all ended in time."""
        read = self._readers is None or await self._readers.stop(within_s)
        left = self._coordinator is None or await self._coordinator.release_all(within_s)
        for loop in self._loops:
            loop.stop()
        teams = self._flow_consumers.values()
        ended = await asyncio.gather(*(team.stop(within_s) for team in teams))
        ended += await asyncio.gather(*(loop.join(within_s) for loop in self._loops))
        if self._coordinator is not None:
            await self._coordinator.deregister()
        await self._close_sinks()
        return all(ended) and left and read

    def share_rates(self, holders: LaneHolders, worker: str) -> None:
        """Keep each rate to the part of this worker among those that it is for.

        A flow's own rate is for its lanes, what its sink has is for its replays too.
        """
        for flow in self.program.flows:
            pace = next(iter(self.consumers[flow.name].values())).rate_limiter
            pace.share_among(len(holders.lanes.get(flow.name, set()) | {worker}))
        for name, sinks in self._rate_limiters.items():
            flows = [one.name for one in self.program.flows if one.sink.name == name]
            sinks.share_among(_count_workers(holders, flows, worker))
        for name, limit in self._named_limits.items():
            flows = [one.name for one in self.program.flows if name in one.limits]
            limit.rate_limiter.share_among(_count_workers(holders, flows, worker))

    async def _open_sink(self, sink: Sink, sink_context: SinkContext) -> None:
        if sink not in self._guards:
            opened = await _open_sink(sink, sink_context)
            gate = self._guards[sink] = await self._create_guard(opened)
            pace = self._rate_limiters.setdefault(sink.name, RateLimiter(None, self._context.clock))
            self._operator_control.add_limiters(
                ControlTarget("destination", sink.name), Limiters(pace, gate.concurrency_limiter)
            )

    async def _create_guard(self, opened: OpenedSink) -> DestinationGuard:
        """Return a gate; one whose destination asked never to be called again stays shut."""
        trip = self.program.breaker_policy_of(opened.sink)
        worker = "" if self._coordinator is None else self._coordinator.worker
        gate = DestinationGuard(
            opened, self._context.clock, self._recorder.breaker_changed, trip, worker
        )
        gate.redact.add_secrets(self._secrets)  # what one destination says may be of another one
        before = (await breaker_records(self._context.ledger)).get(opened.sink.name)
        if before is not None and before.state == "gone":
            gate.restore_gone(before.reason, before.since)
        if self._coordinator is not None:
            start_from_shared(gate, before, self._context.clock)
        await self._recorder.save_breaker(gate)
        return gate

    def _add_flow(self, rule_number: int, flow: Flow) -> None:
        gate = self._guards[flow.sink]
        limits = [self._named_limits[name] for name in flow.limits]
        shared = (*(limit.rate_limiter for limit in limits), self._rate_limiters[flow.sink.name])
        pace = RateLimiter(flow.rate, self._context.clock, shared)
        slots, valve = ConcurrencyLimiter(None, self._context.clock), PauseGate()
        self._operator_control.add_flow(ControlledFlow(flow, gate, valve))
        self._operator_control.add_limiters(ControlTarget("flow", flow.name), Limiters(pace, slots))
        permits = PausablePermits(
            CombinedPermits(
                (slots, *(limit.concurrency_limiter for limit in limits), gate.concurrency_limiter)
            ),
            valve,
        )
        lease = (
            Lease() if self._coordinator is None else Lease(is_trusted=self._coordinator.is_trusted)
        )
        assignments: dict[int, LaneConsumer] = {}
        for partition in range(self._log.partitions):
            to = LaneConsumer(
                self._context,
                flow,
                rule_number,
                gate,
                partition,
                pace,
                permits,
                asyncio.Lock(),
                valve,
                lease,
            )
            assignments[partition] = to
        self.consumers[flow.name] = assignments
        leased = self._coordinator is not None
        self._flow_consumers[flow.name] = FlowConsumers(
            assignments, self._named_limits, leased=leased
        )

    async def _start_offset(self, flow: Flow, partition: int) -> int:
        first, end = await self._log.bounds(partition)
        if isinstance(flow.start, datetime):
            return await self._log.offset_at(partition, flow.start)
        return first if flow.start == "beginning" else end

    async def _close_sinks(self) -> None:
        for gate in self._guards.values():
            await gate.opened.destination.close()
        self._guards.clear()


async def _open_sink(sink: Sink, sink_context: SinkContext) -> OpenedSink:
    """Open a sink; a bug in one ends nothing but the program that has it."""
    try:
        return OpenedSink(sink, await sink.open(sink_context))
    except SinkError as error:
        raise SinkError(Redactor(secrets_of(sink))(str(error))) from None
    except BuswayError:
        raise
    except Exception as error:
        what = Redactor(secrets_of(sink))(exception_line(error))
        raise SinkError(f"{sink.name} cannot be opened: {what}") from None


def _count_workers(holders: LaneHolders, flows: Sequence[str], worker: str) -> int:
    kinds = (holders.lanes, holders.replays)
    return len({worker}.union(*(kind.get(flow, set()) for kind in kinds for flow in flows)))


def create_log_reader(program: CompiledApp, log: Log) -> SharedReader:
    """Return what reads the log for a program's lanes, with all its rules in one index."""
    return SharedReader(log, RuleIndex([flow.pattern for flow in program.flows], checked=True))
