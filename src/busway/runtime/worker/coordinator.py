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
from busway.lane import Lane, LeaseRequest
from busway.named_value import ValueChange
from busway.ports import Ledger
from busway.runtime.lane.poison_bisection import PoisonBisection, in_flight_markers
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
LaneKey = tuple[str, int]


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
        self._releasing: dict[LaneKey, asyncio.Task[None]] = {}

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
            return "the last beat is too old: the ledger does not answer"
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

    def _leases(self) -> Mapping[LaneKey, Lease]:
        return {
            (name, partition): lease
            for name, team in self._flow_consumers.items()
            for partition, lease in team.leases.items()
        }

    def _kept_leases(self) -> Mapping[LaneKey, Lease]:
        """Return what is worked and stays so."""
        return {key: one for key, one in self._leases().items() if key not in self._releasing}

    def _drop_lost(self, lanes: Sequence[Lane]) -> None:
        """Stop to work what somebody else has by now, also what is being given up."""
        mine = {
            (one.flow, one.partition): one.fencing_token
            for one in lanes
            if one.worker == self.worker
        }
        for key, lease in self._leases().items():
            leaving = key in self._releasing
            if mine.get(key) == lease.fencing_token or (leaving and lease.is_lost):
                continue
            silent_s = round(self.heartbeat.silent_s(), 1)
            _log.warning(
                "lane lost to another worker", flow=key[0], partition=key[1], silent_s=silent_s
            )
            lease.mark_lost()
            self._observer.moved(key[0], "lost")
            if not leaving:
                self._track_release(key, self._stop_lane(key, RELEASE_TIMEOUT_S))

    async def _assign(
        self,
        lanes: Sequence[Lane],
        live_workers: Mapping[str, WorkerRecord],
        heartbeats: Mapping[str, bytes],
    ) -> None:
        take: list[LeaseRequest] = []
        for group, who in self._group_by_workers(lanes, live_workers):
            taken, given = rebalance(group, who, self.worker)
            take += [one for one in taken if (one.flow, one.partition) not in self._releasing]
            for one in given:
                lease = self._kept_leases().get((one.flow, one.partition))
                if lease is not None:
                    self._start_release((one.flow, one.partition), lease, RELEASE_TIMEOUT_S)
        held = self._kept_leases()
        for lane in lanes:
            key = (lane.flow, lane.partition)
            if lane.worker == self.worker and key not in held and key not in self._releasing:
                take.append(LeaseRequest(*key, lane.fencing_token, self.worker))
        self._on_holders(_lane_holders(lanes, live_workers, take), self.worker)
        if take:
            before = {(one.flow, one.partition): one.worker for one in lanes}
            had = {before[one.flow, one.partition] for one in take} - live_workers.keys()
            dead = [expect_no_heartbeat(worker, heartbeats) for worker in had if worker is not None]
            await self._acquire(take, before, dead)

    def _group_by_workers(
        self, lanes: Sequence[Lane], live_workers: Mapping[str, WorkerRecord]
    ) -> Sequence[tuple[list[Lane], set[str]]]:
        """Return the lanes of flows that are worked here, by who can work them.

        What one has who is leaving is his until he gives it up. They come by partition, so that the
        lanes of each flow are spread too.
        """
        groups: defaultdict[frozenset[str], list[Lane]] = defaultdict(list)
        for lane in sorted(lanes, key=lambda one: (one.partition, one.flow)):
            if lane.flow not in self._flow_consumers:
                continue
            who = frozenset(
                id for id, one in live_workers.items() if lane.flow in one.flows and not one.leaving
            ) | {self.worker}
            holder = live_workers.get(lane.worker or "")
            if lane.worker in who or holder is None or lane.flow not in holder.flows:
                groups[who].append(lane)
        return [(group, set(who)) for who, group in groups.items()]

    async def _acquire(
        self,
        leases: Sequence[LeaseRequest],
        before: Mapping[LaneKey, str | None],
        dead: Sequence[ValueChange],
    ) -> None:
        epochs = await self._ledger.lease(leases, dead)
        now = {(one.flow, one.partition): one for one in await self._ledger.lanes()}
        marks = await in_flight_markers(self._ledger)
        if self._is_leaving:  # meanwhile: nobody would stop what began now
            await self._return_leases(leases, epochs, before)
            return
        for lease, epoch in zip(leases, epochs, strict=True):
            key = (lease.flow, lease.partition)
            if epoch is None or key not in now:
                continue
            # also where it was leased here, and did not come to be begun
            died = before[key] is not None
            careful = PoisonBisection(self._ledger, now[key], marks) if died else None
            self._flow_consumers[lease.flow].start_lane(
                now[key], careful, Lease(epoch, self.is_trusted)
            )
            self._observer.moved(lease.flow, "acquired")
            _log.info(
                "lane acquired", flow=lease.flow, partition=lease.partition, fencing_token=epoch
            )

    async def _return_leases(
        self,
        leases: Sequence[LeaseRequest],
        fencing_tokens: Sequence[int | None],
        before: Mapping[LaneKey, str | None],
    ) -> None:
        """Let others have what was just leased; what is to be taken with care stays so."""
        found = [
            msgspec.structs.replace(lease, fencing_token=epoch, worker=None)
            for lease, epoch in zip(leases, fencing_tokens, strict=True)
            if epoch is not None and before[lease.flow, lease.partition] is None
        ]
        if found:
            await self._ledger.lease(found)

    def _start_release(self, key: LaneKey, lease: Lease, within_s: float) -> None:
        self._track_release(key, self._release(key, lease, within_s))

    def _track_release(self, key: LaneKey, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work, name=f"leave {key[0]}/{key[1]}")
        self._releasing[key] = task
        task.add_done_callback(lambda task: self._release_done(key, task))

    def _release_done(self, key: LaneKey, task: asyncio.Task[None]) -> None:
        """Forget that it was being given up; where that failed, the next look takes it again."""
        self._releasing.pop(key, None)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            flow, partition = key
            _log.warning("lane not released", flow=flow, partition=partition, error=str(error))

    async def _release(self, key: LaneKey, lease: Lease, within_s: float) -> None:
        await self._stop_lane(key, within_s)
        if lease.is_lost:
            return
        lease.mark_lost()
        await self._ledger.lease([LeaseRequest(*key, lease.fencing_token, None)])
        self._observer.moved(key[0], "released")
        _log.info("lane released", flow=key[0], partition=key[1])

    async def _stop_lane(self, key: LaneKey, within_s: float) -> None:
        await self._flow_consumers[key[0]].stop_lane(key[1], within_s)

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
