"""The staff of one replay: a loop that works its lanes, and one that retries what it parked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec

from busway.control.job import Job
from busway.control.replay.landed import Landings, Live
from busway.control.replay.match import Selected
from busway.control.replay.operation import Request, open_lanes, progress_of, request_of
from busway.delivery.care import Mark
from busway.delivery.replay import mode, replay_name
from busway.delivery.throttle import Rate
from busway.flow import Flow
from busway.ports import Log, Sink, Supplies
from busway.runtime.hold.gate import Gate, Opened
from busway.runtime.hold.pace import Pace
from busway.runtime.hold.valve import Valve
from busway.runtime.hub import Assignment, Hub
from busway.runtime.lane.careful import Careful
from busway.runtime.lane.retry import Retrier
from busway.runtime.lease.tenure import Tenure
from busway.runtime.loop import Loop
from busway.runtime.replay.lane import Reading, ReplayLane
from busway.runtime.replay.way import ReplayAssignment, Skips

Marks = Callable[[str], Awaitable[Mapping[str, Mark] | None]]


class Ground(msgspec.Struct, frozen=True):
    """What every replay of a process works on; ``file`` makes the sink of a path, ``finished`` is
    called when one is at its end. ``marks`` returns what the lanes of a flow's replays had in hand
    when who worked them before ended uncleanly, ``None`` where that was in order. ``mine`` says
    of a flow whether its replays are worked here now."""

    hub: Hub
    log: Log
    file: Callable[[str], Sink]
    supplies: Supplies
    finished: Callable[[], None]
    marks: Marks
    mine: Callable[[str], bool]


class Work:
    """Works the lanes of a replay in turn, a portion each."""

    def __init__(self, lanes: Sequence[ReplayLane], finished: Callable[[], None]) -> None:
        self._lanes = lanes
        self._finished = finished
        self._turns = 0

    async def turn(self, loop: Loop) -> None:
        """Work one portion of the next lane, or wait to be stopped."""
        unfinished = [lane for lane in self._lanes if not lane.finished]
        if not unfinished:
            self._finished()
            with loop.idle():
                await asyncio.Event().wait()
        self._turns += 1
        await unfinished[self._turns % len(unfinished)].turn(loop)


class Staff:
    """Works one replay until it is stopped."""

    def __init__(self, flow: str, loops: tuple[Loop, Loop], file: Gate | None) -> None:
        self.flow = flow
        self._file = file
        self._loops = loops
        for loop in self._loops:
            loop.start()

    @property
    def delivers(self) -> bool:
        """Whether it loads into the flow's own sink, under the rates of that."""
        return self._file is None

    @property
    def held(self) -> str:
        """Why its file takes nothing now, where it does not."""
        return "" if self._file is None or self._file.closed else self._file.breaker.reason

    async def stop(self, within_s: float) -> bool:
        """Finish the portion in hand and stop; say whether that ended in time."""
        for loop in self._loops:
            loop.stop()
        ended = await asyncio.gather(*(loop.join(within_s) for loop in self._loops))
        if self._file is not None:
            await self._file.opened.destination.close()
        return all(ended)


async def engage(ground: Ground, flow: Mapping[int, Assignment], job: Job) -> Staff:
    """Return a staff at work on a replay of the flow with these lanes.

    Raises :class:`SinkError` for a file that cannot be opened.
    """
    request, spans = request_of(job), progress_of(job).spans
    opened = await open_lanes(ground.hub.ledger, job)
    file = await _file(ground, request)
    way = _Way(ground, job, request, file)
    ways = {one.partition: way.of(flow[one.partition]) for one in spans}
    pattern = next(iter(flow.values())).flow.pattern
    matcher = Selected(pattern, request.select)
    reading = Reading(ground.log, matcher, request.select)
    marks, ledger = await ground.marks(job.flow), ground.hub.ledger
    lanes = [
        ReplayLane(
            ways[one.partition],
            one,
            reading,
            None if marks is None else Careful(ledger, lane, marks),
        )
        for one, lane in zip(spans, opened, strict=True)
    ]
    name, outage = replay_name(job.flow, job.id), ground.hub.outage
    work = Loop(name, Work(lanes, ground.finished).turn, outage)
    retry = Loop(f"{name}/retry", Retrier(ground.hub, ways).turn, outage)
    return Staff(job.flow, (work, retry), file)


async def _file(ground: Ground, request: Request) -> Gate | None:
    if request.into is None:
        return None
    sink = ground.file(request.into)
    return Gate(Opened(sink, await sink.open(ground.supplies)), ground.hub.clock)


class _Way:
    """Makes the assignments of a replay from those of its flow."""

    def __init__(self, ground: Ground, job: Job, request: Request, file: Gate | None) -> None:
        self._ground = ground
        self._job = job
        self._request = request
        self._file = file
        self._pace: Pace | None = None

    def of(self, live: Assignment) -> ReplayAssignment:
        """Return the replay's lane beside a lane of its flow."""
        ledger, partition = self._ground.hub.ledger, live.partition
        given = {name: getattr(live, name) for name in Assignment.__struct_fields__}
        given |= {
            "hub": self._ground.hub,
            "flow": self._flow(live.flow),
            "rule": 0,
            "pace": self._pace_of(live),
            "lock": asyncio.Lock(),
            "tenure": Tenure(sure=lambda: self._ground.mine(self._job.flow)),
            "landings": self._landings(live),
            "skips": Skips(ledger, self._job.id, partition),
        }
        if self._file is not None:
            given |= {"gate": self._file, "permits": self._file.slots, "valve": Valve()}
        return ReplayAssignment(**given)

    def _flow(self, flow: Flow) -> Flow:
        return msgspec.structs.replace(
            flow,
            name=replay_name(self._job.flow, self._job.id),
            known_as=replay_name(flow.known_as, self._job.id),
        )

    def _pace_of(self, live: Assignment) -> Pace:
        """Return the pace of all lanes: what was asked for, or what the flow declares."""
        if self._pace is None:
            asked = self._request.rate
            rate = live.flow.rate if asked is None else Rate.parse(asked)
            shared = () if self._file else live.pace.shared
            self._pace = Pace(rate, self._ground.hub.clock, shared)
        return self._pace

    def _landings(self, live: Assignment) -> Landings:
        flow, hub = live.flow, self._ground.hub
        opened = (self._file or live.gate).opened
        way = mode(
            to_file=self._file is not None,
            force=self._request.force,
            keeps_positions=opened.keeps_positions,
        )
        known = Live(flow.name, flow.known_as, flow.version, hub.identity, live.partition)
        return Landings(hub.ledger, known, way, opened.destination)
