"""The crew of a program: every loop that its flows need, started and stopped together."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime

from busway.bus.follow import Follow
from busway.control.control import Control
from busway.control.record import breaker_records
from busway.control.steer.record import Target
from busway.delivery.care import Mark
from busway.errors import BuswayError, SinkError
from busway.exception_text import exception_line
from busway.flow import Flow, Program
from busway.lane import Lane
from busway.ports import Destination, Log, Sink, Supplies
from busway.redact import Redactor
from busway.rule import RuleIndex
from busway.runtime.crew.call_up import called_up
from busway.runtime.crew.shift import LOOK_EVERY_S, Holders, Shift
from busway.runtime.crew.team import Team
from busway.runtime.hold.gate import Gate, Opened
from busway.runtime.hold.limit import NamedLimit, limits_of
from busway.runtime.hold.pace import Pace
from busway.runtime.hold.permit import Slots, Together
from busway.runtime.hold.shared_breaker import SharedBreakers, begin_as
from busway.runtime.hold.steer import Reins, Steered, Steersman
from busway.runtime.hold.valve import Guarded, Valve
from busway.runtime.hub import Assignment, Hub
from busway.runtime.lane.careful import Careful
from busway.runtime.lease.tenure import Tenure
from busway.runtime.loop import Loop
from busway.runtime.observe.record import Recorder
from busway.runtime.reader.readers import Readers
from busway.secret import secrets_of
from busway.telemetry import hide_in_log


class Crew:
    """Works the flows of one program until it is stopped.

    With a ``shift`` it is one of several workers, and has the lanes that it leases; without one it
    has them all.
    """

    def __init__(
        self,
        program: Program,
        hub: Hub,
        log: Log,
        recorder: Recorder,
        shift: Shift | None = None,
        readers: Readers | None = None,
    ) -> None:
        self.program = program
        self._readers = readers
        if shift is not None and readers is not None:
            shift.read = readers.wanted
        self._hub = hub
        self._log = log
        self._recorder = recorder
        self._shift = shift
        self._teams: dict[str, Team] = {}
        self._gates: dict[Sink, Gate] = {}
        self._loops: list[Loop] = []
        self.assignments: dict[str, Mapping[int, Assignment]] = {}
        """The lanes by flow and partition."""
        control = Control(log=log, ledger=hub.ledger, clock=hub.clock)
        self._steersman = Steersman(control)
        self._paces: dict[str, Pace] = {}
        self._limits: Mapping[str, NamedLimit] = {}
        self._secrets: set[str] = set()

    async def start(self, supplies: Supplies, marks: Mapping[str, Mark] | None = None) -> None:
        """Open the sinks and the lanes, and start the loops.

        ``marks`` are what the lanes had in hand when the process before this ended uncleanly.
        Raises :class:`SinkError` when a sink can never work, :class:`StoreError` when the stores
        cannot be used; then nothing is left open.
        """
        try:
            lanes = await self._prepared(supplies)
        except BaseException:
            await self._close_sinks()
            raise
        outage = self._hub.outage
        self._loops.append(Loop("steer", self._steersman.turn, outage))
        self._loops.append(Loop("reach", self._reach, outage))
        if self._shift is None:
            for lane in lanes:  # one that workers had before has their last epoch
                careful = None if marks is None else Careful(self._hub.ledger, lane, marks)
                self._teams[lane.flow].begin(lane, careful, Tenure(lane.epoch))
        else:
            self._shift.man(self._teams, self.share)
            shared = SharedBreakers(self._hub.ledger, self._hub.clock, self._gates.values())
            self._loops.append(Loop("breakers", shared.turn, outage, LOOK_EVERY_S))
            self._loops.append(Loop("beat", self._shift.beat.turn, outage, LOOK_EVERY_S))
            self._loops.append(Loop("shift", self._shift.turn, outage, LOOK_EVERY_S))
        for loop in self._loops:
            loop.start()
        if self._readers is not None:
            self._readers.start()

    async def _reach(self, loop: Loop) -> None:
        """Try each destination until it has answered, so that one that is down shows at once."""
        with loop.idle():
            await asyncio.gather(*(gate.reach() for gate in self._gates.values()))
            await asyncio.Event().wait()

    async def _prepared(self, supplies: Supplies) -> Sequence[Lane]:
        """Have everything be there that the loops need, and return the lanes."""
        self._secrets = {one for flow in self.program.flows for one in secrets_of(flow.sink)}
        hide_in_log(self._secrets)
        self._limits = limits_of(self.program.limits, self._hub.clock)
        for flow in self.program.flows:
            await self._open(flow.sink, supplies)
        rules = {flow.name: number for number, flow in enumerate(self.program.flows)}
        lanes = await self.muster()
        for flow in self.program.flows:
            self._staff(rules[flow.name], flow)
        await self._steersman.look()
        return lanes

    async def muster(self) -> Sequence[Lane]:
        """Have all lanes of the program be there, and return them."""
        self.program = await called_up(self._hub, self._log, self.program)
        lanes = []
        for flow in self.program.flows:
            await self._recorder.describe(flow)
            for partition in range(self._log.partitions):
                beginning = await self._beginning(flow, partition)
                lanes.append(await self._hub.ledger.open_lane(flow.name, partition, beginning))
        return lanes

    @property
    def held(self) -> Mapping[str, int]:
        """How many lanes of each flow are worked here now."""
        return {name: len(team.held) for name, team in self._teams.items()}

    @property
    def hub(self) -> Hub:
        """What its lanes share."""
        return self._hub

    def destination(self, flow: str) -> Destination | None:
        """Return where a flow delivers to."""
        lanes = self.assignments.get(flow, {})
        return next((one.gate.opened.destination for one in lanes.values()), None)

    def wake(self) -> None:
        """Look at once at what people have changed."""
        self._steersman.wake()
        if self._readers is not None:
            self._readers.wake()

    async def stop(self, within_s: float) -> bool:
        """Finish the batches in hand and stop; say whether all ended in time."""
        read = self._readers is None or await self._readers.stop(within_s)
        left = self._shift is None or await self._shift.leave(within_s)
        for loop in self._loops:
            loop.stop()
        teams = self._teams.values()
        ended = await asyncio.gather(*(team.stop(within_s) for team in teams))
        ended += await asyncio.gather(*(loop.join(within_s) for loop in self._loops))
        if self._shift is not None:
            await self._shift.go()
        await self._close_sinks()
        return all(ended) and left and read

    def share(self, holders: Holders, worker: str) -> None:
        """Keep each rate to the part of this worker among those that it is for.

        A flow's own rate is for its lanes, what its sink has is for its replays too.
        """
        for flow in self.program.flows:
            pace = next(iter(self.assignments[flow.name].values())).pace
            pace.share(len(holders.lanes.get(flow.name, set()) | {worker}))
        for name, sinks in self._paces.items():
            flows = [one.name for one in self.program.flows if one.sink.name == name]
            sinks.share(_count(holders, flows, worker))
        for name, limit in self._limits.items():
            flows = [one.name for one in self.program.flows if name in one.limits]
            limit.pace.share(_count(holders, flows, worker))

    async def _open(self, sink: Sink, supplies: Supplies) -> None:
        if sink not in self._gates:
            opened = await _opened(sink, supplies)
            gate = self._gates[sink] = await self._gate(opened)
            pace = self._paces.setdefault(sink.name, Pace(None, self._hub.clock))
            self._steersman.rein(Target("destination", sink.name), Reins(pace, gate.slots))

    async def _gate(self, opened: Opened) -> Gate:
        """Return a gate; one whose destination asked never to be called again stays shut."""
        trip = self.program.trip_of(opened.sink)
        worker = "" if self._shift is None else self._shift.worker
        gate = Gate(opened, self._hub.clock, self._recorder.changed, trip, worker)
        gate.redact.learn(self._secrets)  # what one destination says may be of another one
        before = (await breaker_records(self._hub.ledger)).get(opened.sink.name)
        if before is not None and before.state == "gone":
            gate.remember_gone(before.reason, before.since)
        if self._shift is not None:
            begin_as(gate, before, self._hub.clock)
        await self._recorder.begin(gate)
        return gate

    def _staff(self, number: int, flow: Flow) -> None:
        gate = self._gates[flow.sink]
        limits = [self._limits[name] for name in flow.limits]
        shared = (*(limit.pace for limit in limits), self._paces[flow.sink.name])
        pace = Pace(flow.rate, self._hub.clock, shared)
        slots, valve = Slots(None, self._hub.clock), Valve()
        self._steersman.add(Steered(flow, gate, valve))
        self._steersman.rein(Target("flow", flow.name), Reins(pace, slots))
        permits = Guarded(Together((slots, *(limit.slots for limit in limits), gate.slots)), valve)
        tenure = Tenure() if self._shift is None else Tenure(sure=self._shift.sure)
        assignments: dict[int, Assignment] = {}
        for partition in range(self._log.partitions):
            to = Assignment(
                self._hub,
                flow,
                number,
                gate,
                partition,
                pace,
                permits,
                asyncio.Lock(),
                valve,
                tenure,
            )
            assignments[partition] = to
        self.assignments[flow.name] = assignments
        leased = self._shift is not None
        self._teams[flow.name] = Team(assignments, self._limits, leased=leased)

    async def _beginning(self, flow: Flow, partition: int) -> int:
        first, end = await self._log.bounds(partition)
        if isinstance(flow.start, datetime):
            return await self._log.offset_at(partition, flow.start)
        return first if flow.start == "beginning" else end

    async def _close_sinks(self) -> None:
        for gate in self._gates.values():
            await gate.opened.destination.close()
        self._gates.clear()


async def _opened(sink: Sink, supplies: Supplies) -> Opened:
    """Open a sink; a bug in one ends nothing but the program that has it."""
    try:
        return Opened(sink, await sink.open(supplies))
    except SinkError as error:
        raise SinkError(Redactor(secrets_of(sink))(str(error))) from None
    except BuswayError:
        raise
    except Exception as error:
        what = Redactor(secrets_of(sink))(exception_line(error))
        raise SinkError(f"{sink.name} cannot be opened: {what}") from None


def _count(holders: Holders, flows: Sequence[str], worker: str) -> int:
    kinds = (holders.lanes, holders.replays)
    return len({worker}.union(*(kind.get(flow, set()) for kind in kinds for flow in flows)))


def follow_for(program: Program, log: Log) -> Follow:
    """Return what reads the log for a program's lanes, with all its rules in one index."""
    return Follow(log, RuleIndex([flow.pattern for flow in program.flows], checked=True))
