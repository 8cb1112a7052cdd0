"""The shift: a worker looks who else beats, and takes and gives lanes and duties."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import uuid
from collections import defaultdict
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from typing import Protocol

import msgspec
import structlog

from busway.clock import Clock
from busway.control.worker import (
    WORKER,
    WorkerRecord,
    decode_heartbeats,
    expect_no_heartbeat,
    last_heartbeats,
)
from busway.delivery.rebalance import (
    DEAD_AFTER_S,
    ObservedHeartbeat,
    live_workers,
    observe_heartbeats,
    rebalance,
)
from busway.errors import StoreError
from busway.lane import Lane, LaneId, LeaseRequest
from busway.named_value import ValueChange
from busway.ports import Ledger
from busway.runtime.lane.poison_isolation import PoisonBisection, in_flight_markers
from busway.runtime.lease.duty import REPLAY_DUTY, Duties
from busway.runtime.lease.heartbeat import Heartbeat
from busway.runtime.lease.lease import Lease
from busway.runtime.loop import Loop
from busway.runtime.worker.flow_consumer import FlowConsumers

POLL_INTERVAL_S = 0.5
FORGET_DEAD_AFTER_S = 60.0
_NEVER = float("-inf")
RELEASE_TIMEOUT_S = 10.0
"""How long the batch in hand of a lane that is given up may take."""
DUTIES = ("maintenance", "redrive", "alerts")

_log = structlog.get_logger("busway")


class LaneHolders(msgspec.Struct, frozen=True):
    """Who works lanes of each flow, and who replays to its sink."""

    lanes: Mapping[str, set[str]]
    replays: Mapping[str, set[str]]


class LeaseObserver(Protocol):
    """Hears of each lane that moves: ``taken``, ``given`` up, or ``lost``; for telemetry."""

    def moved(self, flow: str, move: str) -> None: ...


class _NullObserver:
    def moved(self, flow: str, move: str) -> None: ...


class Coordinator:
    """Works the lanes that are this worker's.

    All that is decided is in :mod:`busway.delivery.rebalance`; what two decide at the same time is
    settled by the ledger, which gives a lane to the first of them.
    """

    def __init__(
        self,
        ledger: Ledger,
        clock: Clock,
        observer: LeaseObserver | None = None,
        worker: str = "",
    ) -> None:
        self.worker = worker or new_worker_id()
        self.heartbeat = Heartbeat(ledger, clock, self.worker, self._record)
        self.duties = Duties(ledger, clock, self.worker, self.is_trusted)
        self._ledger = ledger
        self._clock = clock
        self._observer = observer or _NullObserver()
        self.replayed_flows: Callable[[], Collection[str]] = tuple
        """Returns the flows to whose sinks something is replayed here now."""
        self.read: Callable[[], Collection[str]] = tuple
        """Returns the duties to read from sources that this worker can do."""
        self._on_holders: Callable[[LaneHolders, str], None] = _ignore_holders
        self._flow_consumers: Mapping[str, FlowConsumers] = {}
        self._started_at = clock.now()
        self._is_leaving = False
        self._observed_workers: Mapping[str, ObservedHeartbeat] = {}
        self._assigned_at = _NEVER
        self._releasing: dict[LaneId, asyncio.Task[None]] = {}

    def is_trusted(self) -> bool:
        """Say whether the others must still take this worker for alive."""
        return self.heartbeat.is_trusted()

    def heartbeat_age_s(self) -> float:
        """Return how long ago it beat last, in seconds."""
        return self.heartbeat.age_s()

    def not_ready_reason(self) -> str | None:
        """Return why it does not work as it should, ``None`` when it has the lanes that it can."""
        if self._is_leaving:
            return "its flows are being changed"
        if self._assigned_at == _NEVER:
            return "it has not looked yet which lanes it may take"
        if not self.is_trusted():
            return "the last heartbeat is too old: the ledger does not answer"
        if self._clock.monotonic() - self._assigned_at > DEAD_AFTER_S:
            return "lanes cannot be taken"
        return None

    def work(
        self,
        flow_consumers: Mapping[str, FlowConsumers],
        on_holders: Callable[[LaneHolders, str], None],
    ) -> None:
        """Work the lanes of these flows from the next look on.

        ``on_holders`` hears at each look who works each flow, and who this worker is.
        """
        self._flow_consumers, self._on_holders = flow_consumers, on_holders
        self._is_leaving, self._assigned_at = False, _NEVER

    async def run_once(self, loop: Loop) -> None:
        """Look once, and wait."""
        await self.rebalance()
        with loop.interruptible():
            await self._clock.sleep(POLL_INTERVAL_S)

    async def rebalance(self) -> None:
        """Take and give what is to be taken and given by what all can see."""
        await self.heartbeat.register()
        beat, began = self.heartbeat.last_sent_at, self._clock.monotonic()
        if self.heartbeat.was_blind():
            self._observed_workers = {}
        try:
            async with asyncio.timeout(DEAD_AFTER_S):
                lanes = await self._ledger.lanes()
                await self.duties.refresh()
                # last: who came meanwhile, and has some of that, is known
                found = await last_heartbeats(self._ledger)
        except TimeoutError:
            raise StoreError("the ledger did not answer in time") from None
        known, now = decode_heartbeats(found), self._clock.monotonic()
        self._observed_workers = observe_heartbeats(
            self._observed_workers, {id: one.heartbeat for id, one in known.items()}, now
        )
        # what was read may be as old as the question: who has beaten since is not dead
        living = live_workers(self._observed_workers, began, self.worker)
        self._drop_lost(lanes)
        self.heartbeat.confirm(beat)
        if self._is_leaving or not self.is_trusted():
            return
        await self._assign(lanes, {id: known[id] for id in living if id in known}, found)
        if self._is_leaving:
            return
        await self.duties.acquire(self._wanted_duties(), living, found)
        self._assigned_at = self._clock.monotonic()
        await self._forget_dead(living, found)

    async def release_all(self, within_s: float) -> bool:
        """Finish what is in hand and let others have it, lane by lane, at once."""
        self._is_leaving = True
        with contextlib.suppress(StoreError):
            await self.heartbeat.send()
            await self.duties.release()
        for key, lease in self._kept_leases().items():
            self._start_release(key, lease, within_s)
        tasks = list(self._releasing.values())
        done = await asyncio.gather(*tasks, return_exceptions=True)
        return not any(isinstance(one, BaseException) for one in done)

    async def deregister(self) -> None:
        """Be no worker any more, until lanes are to be worked again."""
        with contextlib.suppress(StoreError):
            await self.heartbeat.deregister()

    def _record(self, heartbeat: int) -> WorkerRecord:
        return WorkerRecord(
            heartbeat=heartbeat,
            at=self._clock.now(),
            started_at=self._started_at,
            host=socket.gethostname(),
            pid=os.getpid(),
            flows={name: team.flow.version for name, team in self._flow_consumers.items()},
            leaving=self._is_leaving,
            replays=sorted(self.replayed_flows()),
        )

    def _leases(self) -> Mapping[LaneId, Lease]:
        return {
            LaneId(name, partition): lease
            for name, team in self._flow_consumers.items()
            for partition, lease in team.leases.items()
        }

    def _kept_leases(self) -> Mapping[LaneId, Lease]:
        """Return the leases that are held and are not being released."""
        return {
            lane_id: lease
            for lane_id, lease in self._leases().items()
            if lane_id not in self._releasing
        }

    def _drop_lost(self, lanes: Sequence[Lane]) -> None:
        """Stop working lanes that another worker has taken, including those being released."""
        held = {lane.id: lane.fencing_token for lane in lanes if lane.worker == self.worker}
        for lane_id, lease in self._leases().items():
            releasing = lane_id in self._releasing
            if held.get(lane_id) == lease.fencing_token or (releasing and lease.is_lost):
                continue
            silent_s = round(self.heartbeat.silent_s(), 1)
            _log.warning("lane lost to another worker", **lane_id._asdict(), silent_s=silent_s)
            lease.mark_lost()
            self._observer.moved(lane_id.flow, "lost")
            if not releasing:
                self._track_release(lane_id, self._stop_lane(lane_id, RELEASE_TIMEOUT_S))

    async def _assign(
        self,
        lanes: Sequence[Lane],
        live_workers: Mapping[str, WorkerRecord],
        heartbeats: Mapping[str, bytes],
    ) -> None:
        acquire: list[LeaseRequest] = []
        for group, workers in self._group_by_workers(lanes, live_workers):
            changes = rebalance(group, workers, self.worker)
            acquire += [
                request for request in changes.acquire if request.lane_id not in self._releasing
            ]
            for request in changes.release:
                lease = self._kept_leases().get(request.lane_id)
                if lease is not None:
                    self._start_release(request.lane_id, lease, RELEASE_TIMEOUT_S)
        held = self._kept_leases()
        for lane in lanes:
            running = lane.id in held or lane.id in self._releasing
            if lane.worker == self.worker and not running:
                acquire.append(LeaseRequest(*lane.id, lane.fencing_token, self.worker))
        self._on_holders(_lane_holders(lanes, live_workers, acquire), self.worker)
        if acquire:
            before = {lane.id: lane.worker for lane in lanes}
            holders = {before[request.lane_id] for request in acquire} - live_workers.keys()
            dead = [
                expect_no_heartbeat(holder, heartbeats) for holder in holders if holder is not None
            ]
            await self._acquire(acquire, before, dead)

    def _group_by_workers(
        self, lanes: Sequence[Lane], live_workers: Mapping[str, WorkerRecord]
    ) -> Sequence[tuple[list[Lane], set[str]]]:
        """Return the lanes of the flows that run here, grouped by the workers that can take them.

        A worker that is shutting down keeps its lanes until it releases them. The lanes are ordered
        by partition, so that those of each flow are spread as well.
        """
        groups: defaultdict[frozenset[str], list[Lane]] = defaultdict(list)
        for lane in sorted(lanes, key=lambda lane: (lane.partition, lane.flow)):
            if lane.flow not in self._flow_consumers:
                continue
            workers = frozenset(
                id
                for id, record in live_workers.items()
                if lane.flow in record.flows and not record.leaving
            ) | {self.worker}
            holder = live_workers.get(lane.worker or "")
            if lane.worker in workers or holder is None or lane.flow not in holder.flows:
                groups[workers].append(lane)
        return [(group, set(workers)) for workers, group in groups.items()]

    async def _acquire(
        self,
        leases: Sequence[LeaseRequest],
        before: Mapping[LaneId, str | None],
        dead: Sequence[ValueChange],
    ) -> None:
        fencing_tokens = await self._ledger.lease(leases, dead)
        lanes = {lane.id: lane for lane in await self._ledger.lanes()}
        markers = await in_flight_markers(self._ledger)
        if self._is_leaving:  # set meanwhile: nothing would stop lanes that start now
            await self._return_leases(leases, fencing_tokens, before)
            return
        for request, fencing_token in zip(leases, fencing_tokens, strict=True):
            lane_id = request.lane_id
            if fencing_token is None or lane_id not in lanes:
                continue
            # a worker held it before, perhaps this one before the lane was started
            was_held = before[lane_id] is not None
            bisection = PoisonBisection(self._ledger, lanes[lane_id], markers) if was_held else None
            self._flow_consumers[lane_id.flow].start_lane(
                lanes[lane_id], bisection, Lease(fencing_token, self.is_trusted)
            )
            self._observer.moved(lane_id.flow, "acquired")
            _log.info("lane acquired", **lane_id._asdict(), fencing_token=fencing_token)

    async def _return_leases(
        self,
        leases: Sequence[LeaseRequest],
        fencing_tokens: Sequence[int | None],
        before: Mapping[LaneId, str | None],
    ) -> None:
        """Release the leases just acquired, except of lanes that need poison bisection.

        Those were held by a worker before, and the next holder has to see that.
        """
        requests = [
            msgspec.structs.replace(request, fencing_token=fencing_token, worker=None)
            for request, fencing_token in zip(leases, fencing_tokens, strict=True)
            if fencing_token is not None and before[request.lane_id] is None
        ]
        if requests:
            await self._ledger.lease(requests)

    def _start_release(self, lane_id: LaneId, lease: Lease, within_s: float) -> None:
        self._track_release(lane_id, self._release(lane_id, lease, within_s))

    def _track_release(self, lane_id: LaneId, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work, name=f"release {lane_id.flow}/{lane_id.partition}")
        self._releasing[lane_id] = task
        task.add_done_callback(lambda task: self._release_done(lane_id, task))

    def _release_done(self, lane_id: LaneId, task: asyncio.Task[None]) -> None:
        """Stop tracking a release; if it failed, the next turn acquires the lane again."""
        self._releasing.pop(lane_id, None)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            _log.warning("lane not released", **lane_id._asdict(), error=str(error))

    async def _release(self, lane_id: LaneId, lease: Lease, within_s: float) -> None:
        await self._stop_lane(lane_id, within_s)
        if lease.is_lost:
            return
        lease.mark_lost()
        await self._ledger.lease([LeaseRequest(*lane_id, lease.fencing_token, None)])
        self._observer.moved(lane_id.flow, "released")
        _log.info("lane released", **lane_id._asdict())

    async def _stop_lane(self, lane_id: LaneId, within_s: float) -> None:
        await self._flow_consumers[lane_id.flow].stop_lane(lane_id.partition, within_s)

    def _wanted_duties(self) -> Sequence[str]:
        return [*DUTIES, *(REPLAY_DUTY + name for name in self._flow_consumers), *self.read()]

    async def _forget_dead(self, live_workers: set[str], heartbeats: Mapping[str, bytes]) -> None:
        """Forget who has been dead for a while."""
        now = self._clock.monotonic()
        dead = [
            id
            for id in heartbeats.keys() - live_workers
            if now - self._observed_workers[id].since > FORGET_DEAD_AFTER_S
        ]
        if dead:
            gone = [ValueChange(WORKER + id, None, expected=heartbeats[id]) for id in dead]
            await self._ledger.change_values(gone)


def new_worker_id() -> str:
    """Return the id of a worker that there has never been."""
    return uuid.uuid4().hex[:12]


def _ignore_holders(_holders: LaneHolders, _worker: str) -> None:
    """Nobody has to be told."""


def _lane_holders(
    lanes: Sequence[Lane],
    live_workers: Mapping[str, WorkerRecord],
    acquired: Sequence[LeaseRequest],
) -> LaneHolders:
    found: defaultdict[str, set[str]] = defaultdict(set)
    replays: defaultdict[str, set[str]] = defaultdict(set)
    for lane in lanes:
        if lane.worker is not None and lane.worker in live_workers:
            found[lane.flow].add(lane.worker)
    for one in acquired:
        if one.worker is not None:
            found[one.flow].add(one.worker)
    for worker, record in live_workers.items():
        for flow in record.replays:
            replays[flow].add(worker)
    return LaneHolders(found, replays)
