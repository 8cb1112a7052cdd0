"""The crew of a program: every loop that its flows need, started and stopped together."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime

from busway.bus.follow import Follow
from busway.control.control import Control
from busway.control.record import breaker_records
from busway.control.steering import Target
from busway.delivery.care import Mark
from busway.flow import Flow, Program
from busway.flow.limit import bind, unbind
from busway.ports import Destination, Log, Sink, Supplies
from busway.rule import RuleIndex
from busway.runtime.call_up import called_up
from busway.runtime.careful import Careful
from busway.runtime.deliver import Deliverer
from busway.runtime.gate import Gate, Opened
from busway.runtime.hub import Assignment, Hub
from busway.runtime.limit import NamedLimit, limits_of
from busway.runtime.loop import Loop
from busway.runtime.pace import Pace
from busway.runtime.permit import Slots, Together
from busway.runtime.record import Recorder
from busway.runtime.retry import Retrier
from busway.runtime.steer import Reins, Steered, Steersman
from busway.runtime.valve import Guarded, Valve


class Crew:
    """Works the flows of one program until it is stopped."""

    def __init__(self, program: Program, hub: Hub, log: Log, recorder: Recorder) -> None:
        self.program = program
        self._hub = hub
        self._log = log
        self._recorder = recorder
        self._gates: dict[Sink, Gate] = {}
        self._loops: list[Loop] = []
        self.assignments: dict[str, Mapping[int, Assignment]] = {}
        """The lanes by flow and partition."""
        control = Control(log=log, ledger=hub.ledger, clock=hub.clock)
        self._steersman = Steersman(control)
        self._paces: dict[str, Pace] = {}
        self._limits: Mapping[str, NamedLimit] = {}

    async def start(self, supplies: Supplies, marks: Mapping[str, Mark] | None = None) -> None:
        """Open the sinks and the lanes, and start the loops.

        ``marks`` are what the lanes had in hand when the process before this ended uncleanly.
        Raises :class:`SinkError` when a sink can never work; then nothing is left open.
        """
        self._limits = limits_of(self.program.limits, self._hub.clock)
        try:
            for flow in self.program.flows:
                await self._open(flow.sink, supplies)
        except BaseException:
            await self._close_sinks()
            raise
        self.program = await called_up(self._hub, self._log, self.program)
        for number, flow in enumerate(self.program.flows):
            await self._staff(number, flow, marks)
        await self._steersman.look()
        self._loops.append(Loop("steer", self._steersman.turn))
        bound = bind(self._limits)
        for loop in self._loops:
            loop.start()
        unbind(bound)

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

    async def stop(self, within_s: float) -> bool:
        """Finish the batches in hand and stop; say whether all ended in time."""
        for loop in self._loops:
            loop.stop()
        ended = await asyncio.gather(*(loop.join(within_s) for loop in self._loops))
        await self._close_sinks()
        return all(ended)

    async def _open(self, sink: Sink, supplies: Supplies) -> None:
        if sink not in self._gates:
            opened = Opened(sink, await sink.open(supplies))
            gate = self._gates[sink] = await self._gate(opened)
            pace = self._paces.setdefault(sink.name, Pace(None, self._hub.clock))
            self._steersman.rein(Target("destination", sink.name), Reins(pace, gate.slots))

    async def _gate(self, opened: Opened) -> Gate:
        """Return a gate; one whose destination asked never to be called again stays shut."""
        trip = self.program.trip_of(opened.sink)
        gate = Gate(opened, self._hub.clock, self._recorder.changed, trip)
        before = (await breaker_records(self._hub.ledger)).get(opened.sink.name)
        if before is not None and before.state == "gone":
            gate.remember_gone(before.reason, before.since)
        self._recorder.changed(gate)
        return gate

    async def _staff(self, number: int, flow: Flow, marks: Mapping[str, Mark] | None) -> None:
        await self._recorder.describe(flow)
        gate = self._gates[flow.sink]
        limits = [self._limits[name] for name in flow.limits]
        shared = (*(limit.pace for limit in limits), self._paces[flow.sink.name])
        pace = Pace(flow.rate, self._hub.clock, shared)
        slots, valve = Slots(None, self._hub.clock), Valve()
        self._steersman.add(Steered(flow, gate, valve))
        self._steersman.rein(Target("flow", flow.name), Reins(pace, slots))
        permits = Guarded(Together((slots, *(limit.slots for limit in limits), gate.slots)), valve)
        assignments: dict[int, Assignment] = {}
        for partition in range(self._log.partitions):
            to = Assignment(
                self._hub, flow, number, gate, partition, pace, permits, asyncio.Lock(), valve
            )
            assignments[partition] = to
            lane = await self._hub.ledger.open_lane(
                flow.name, partition, await self._beginning(flow, partition)
            )
            careful = None if marks is None else Careful(self._hub.ledger, lane, marks)
            self._loops.append(Loop(f"{flow.name}/{partition}", Deliverer(to, lane, careful).turn))
        self.assignments[flow.name] = assignments
        self._loops.append(Loop(f"{flow.name}/retry", Retrier(self._hub, assignments).turn))

    async def _beginning(self, flow: Flow, partition: int) -> int:
        first, end = await self._log.bounds(partition)
        if isinstance(flow.start, datetime):
            return await self._log.offset_at(partition, flow.start)
        return first if flow.start == "beginning" else end

    async def _close_sinks(self) -> None:
        for gate in self._gates.values():
            await gate.opened.destination.close()
        self._gates.clear()


def follow_for(program: Program, log: Log) -> Follow:
    """Return what reads the log for a program's lanes, with all its rules in one index."""
    return Follow(log, RuleIndex([flow.pattern for flow in program.flows], checked=True))
