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
from busway.control.worker import WORKER, WorkerRecord, decoded, last_beats, still
from busway.delivery.share import DEAD_AFTER_S, Watched, alive, wanted, watched
from busway.errors import StoreError
from busway.lane import Change, Lane, Lease
from busway.ports import Ledger
from busway.runtime.crew.team import Team
from busway.runtime.lane.careful import Careful, marked
from busway.runtime.lease.beat import Beat
from busway.runtime.lease.duty import REPLAY, Duties
from busway.runtime.lease.tenure import Tenure
from busway.runtime.loop import Loop

LOOK_EVERY_S = 0.5
BURIED_AFTER_S = 60.0
_NEVER = float("-inf")
WITHIN_S = 10.0
"""How long the portion in hand of a lane that is given up may take."""
DUTIES = ("upkeep", "redrive", "alerts")

_log = structlog.get_logger("busway")
Key = tuple[str, int]


class Holders(msgspec.Struct, frozen=True):
    """Who works lanes of each flow, and who replays to its sink."""

    lanes: Mapping[str, set[str]]
    replays: Mapping[str, set[str]]


class ShiftObserver(Protocol):
    """Hears of each lane that moves: ``taken``, ``given`` up, or ``lost``; for telemetry."""

    def moved(self, flow: str, move: str) -> None: ...


class _Silent:
    def moved(self, flow: str, move: str) -> None: ...


class Shift:
    """Works the lanes that are this worker's.

    All that is decided is in :mod:`busway.delivery.share`; what two decide at the same time is
    settled by the ledger, which gives a lane to the first of them.
    """

    def __init__(
        self,
        ledger: Ledger,
        clock: Clock,
        observer: ShiftObserver | None = None,
        worker: str = "",
    ) -> None:
        self.worker = worker or new_worker()
        self.beat = Beat(ledger, clock, self.worker, self._record)
        self.duties = Duties(ledger, clock, self.worker, self.sure)
        self._ledger = ledger
        self._clock = clock
        self._observer = observer or _Silent()
        self.replayed: Callable[[], Collection[str]] = tuple
        """Returns the flows to whose sinks something is replayed here now."""
        self.read: Callable[[], Collection[str]] = tuple
        """Returns the duties to read from sources that this worker can do."""
        self._told: Callable[[Holders, str], None] = _nobody
        self._teams: Mapping[str, Team] = {}
        self._started_at = clock.now()
        self._leaving_all = False
        self._seen: Mapping[str, Watched] = {}
        self._dealt_at = _NEVER
        self._leaving: dict[Key, asyncio.Task[None]] = {}

    def sure(self) -> bool:
        """Say whether the others must still take this worker for alive."""
        return self.beat.sure()

    def beat_age_s(self) -> float:
        """Return how long ago it beat last, in seconds."""
        return self.beat.age_s()

    def doubt(self) -> str | None:
        """Return why it does not work as it should, ``None`` when it has the lanes that it can."""
        if self._leaving_all:
            return "its flows are being changed"
        if self._dealt_at == _NEVER:
            return "it has not looked yet which lanes it may take"
        if not self.sure():
            return "the last beat is too old: the ledger does not answer"
        if self._clock.monotonic() - self._dealt_at > DEAD_AFTER_S:
            return "lanes cannot be taken"
        return None

    def man(self, teams: Mapping[str, Team], told: Callable[[Holders, str], None]) -> None:
        """Work the lanes of these flows from the next look on.

        ``told`` hears at each look who works each flow, and who this worker is.
        """
        self._teams, self._told = teams, told
        self._leaving_all, self._dealt_at = False, _NEVER

    async def turn(self, loop: Loop) -> None:
        """Look once, and wait."""
        await self.look()
        with loop.idle():
            await self._clock.sleep(LOOK_EVERY_S)

    async def look(self) -> None:
        """Take and give what is to be taken and given by what all can see."""
        await self.beat.begin()
        beat, began = self.beat.last, self._clock.monotonic()
        if self.beat.blind():
            self._seen = {}
        try:
            async with asyncio.timeout(DEAD_AFTER_S):
                lanes = await self._ledger.lanes()
                await self.duties.review()
                # last: who came meanwhile, and has some of that, is known
                found = await last_beats(self._ledger)
        except TimeoutError:
            raise StoreError("the ledger did not answer in time") from None
        known, now = decoded(found), self._clock.monotonic()
        self._seen = watched(self._seen, {id: one.beat for id, one in known.items()}, now)
        # what was read may be as old as the question: who has beaten since is not dead
        living = alive(self._seen, began, self.worker)
        self._drop(lanes)
        self.beat.confirm(beat)
        if self._leaving_all or not self.sure():
            return
        await self._deal(lanes, {id: known[id] for id in living if id in known}, found)
        if self._leaving_all:
            return
        await self.duties.take(self._wanted_duties(), living, found)
        self._dealt_at = self._clock.monotonic()
        await self._bury(living, found)

    async def leave(self, within_s: float) -> bool:
        """Finish what is in hand and let others have it, lane by lane, at once."""
        self._leaving_all = True
        with contextlib.suppress(StoreError):
            await self.beat.tell()
            await self.duties.release()
        for key, tenure in self._held().items():
            self._start_leaving(key, tenure, within_s)
        tasks = list(self._leaving.values())
        done = await asyncio.gather(*tasks, return_exceptions=True)
        return not any(isinstance(one, BaseException) for one in done)

    async def go(self) -> None:
        """Be no worker any more, until lanes are to be worked again."""
        with contextlib.suppress(StoreError):
            await self.beat.end()

    def _record(self, beat: int) -> WorkerRecord:
        return WorkerRecord(
            beat=beat,
            at=self._clock.now(),
            started_at=self._started_at,
            host=socket.gethostname(),
            pid=os.getpid(),
            flows={name: team.flow.version for name, team in self._teams.items()},
            leaving=self._leaving_all,
            replays=sorted(self.replayed()),
        )

    def _tenures(self) -> Mapping[Key, Tenure]:
        return {
            (name, partition): tenure
            for name, team in self._teams.items()
            for partition, tenure in team.held.items()
        }

    def _held(self) -> Mapping[Key, Tenure]:
        """Return what is worked and stays so."""
        return {key: one for key, one in self._tenures().items() if key not in self._leaving}

    def _drop(self, lanes: Sequence[Lane]) -> None:
        """Stop to work what somebody else has by now, also what is being given up."""
        mine = {(one.flow, one.partition): one.epoch for one in lanes if one.worker == self.worker}
        for key, tenure in self._tenures().items():
            leaving = key in self._leaving
            if mine.get(key) == tenure.epoch or (leaving and tenure.lost):
                continue
            silent_s = round(self.beat.silent_s(), 1)
            _log.warning("a lane was taken away", flow=key[0], partition=key[1], silent_s=silent_s)
            tenure.lose()
            self._observer.moved(key[0], "lost")
            if not leaving:
                self._leave(key, self._end(key, WITHIN_S))

    async def _deal(
        self,
        lanes: Sequence[Lane],
        living: Mapping[str, WorkerRecord],
        beats: Mapping[str, bytes],
    ) -> None:
        take: list[Lease] = []
        for group, who in self._groups(lanes, living):
            taken, given = wanted(group, who, self.worker)
            take += [one for one in taken if (one.flow, one.partition) not in self._leaving]
            for one in given:
                tenure = self._held().get((one.flow, one.partition))
                if tenure is not None:
                    self._start_leaving((one.flow, one.partition), tenure, WITHIN_S)
        held = self._held()
        for lane in lanes:
            key = (lane.flow, lane.partition)
            if lane.worker == self.worker and key not in held and key not in self._leaving:
                take.append(Lease(*key, lane.epoch, self.worker))
        self._told(_holders(lanes, living, take), self.worker)
        if take:
            before = {(one.flow, one.partition): one.worker for one in lanes}
            had = {before[one.flow, one.partition] for one in take} - living.keys()
            dead = [still(worker, beats) for worker in had if worker is not None]
            await self._take(take, before, dead)

    def _groups(
        self, lanes: Sequence[Lane], living: Mapping[str, WorkerRecord]
    ) -> Sequence[tuple[list[Lane], set[str]]]:
        """Return the lanes of flows that are worked here, by who can work them.

        What one has who is leaving is his until he gives it up. They come by partition, so that the
        lanes of each flow are spread too.
        """
        groups: defaultdict[frozenset[str], list[Lane]] = defaultdict(list)
        for lane in sorted(lanes, key=lambda one: (one.partition, one.flow)):
            if lane.flow not in self._teams:
                continue
            who = frozenset(
                id for id, one in living.items() if lane.flow in one.flows and not one.leaving
            ) | {self.worker}
            holder = living.get(lane.worker or "")
            if lane.worker in who or holder is None or lane.flow not in holder.flows:
                groups[who].append(lane)
        return [(group, set(who)) for who, group in groups.items()]

    async def _take(
        self, leases: Sequence[Lease], before: Mapping[Key, str | None], dead: Sequence[Change]
    ) -> None:
        epochs = await self._ledger.lease(leases, dead)
        now = {(one.flow, one.partition): one for one in await self._ledger.lanes()}
        marks = await marked(self._ledger)
        if self._leaving_all:  # meanwhile: nobody would stop what began now
            await self._give_back(leases, epochs, before)
            return
        for lease, epoch in zip(leases, epochs, strict=True):
            key = (lease.flow, lease.partition)
            if epoch is None or key not in now:
                continue
            # also where it was leased here, and did not come to be begun
            died = before[key] is not None
            careful = Careful(self._ledger, now[key], marks) if died else None
            self._teams[lease.flow].begin(now[key], careful, Tenure(epoch, self.sure))
            self._observer.moved(lease.flow, "taken")
            _log.info("lane taken", flow=lease.flow, partition=lease.partition, epoch=epoch)

    async def _give_back(
        self,
        leases: Sequence[Lease],
        epochs: Sequence[int | None],
        before: Mapping[Key, str | None],
    ) -> None:
        """Let others have what was just leased; what is to be taken with care stays so."""
        found = [
            msgspec.structs.replace(lease, epoch=epoch, worker=None)
            for lease, epoch in zip(leases, epochs, strict=True)
            if epoch is not None and before[lease.flow, lease.partition] is None
        ]
        if found:
            await self._ledger.lease(found)

    def _start_leaving(self, key: Key, tenure: Tenure, within_s: float) -> None:
        self._leave(key, self._give(key, tenure, within_s))

    def _leave(self, key: Key, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work, name=f"leave {key[0]}/{key[1]}")
        self._leaving[key] = task
        task.add_done_callback(lambda task: self._left(key, task))

    def _left(self, key: Key, task: asyncio.Task[None]) -> None:
        """Forget that it was being given up; where that failed, the next look takes it again."""
        self._leaving.pop(key, None)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            flow, partition = key
            _log.warning("lane not given up", flow=flow, partition=partition, error=str(error))

    async def _give(self, key: Key, tenure: Tenure, within_s: float) -> None:
        await self._end(key, within_s)
        if tenure.lost:
            return
        tenure.lose()
        await self._ledger.lease([Lease(*key, tenure.epoch, None)])
        self._observer.moved(key[0], "given")
        _log.info("lane given up", flow=key[0], partition=key[1])

    async def _end(self, key: Key, within_s: float) -> None:
        await self._teams[key[0]].end(key[1], within_s)

    def _wanted_duties(self) -> Sequence[str]:
        return [*DUTIES, *(REPLAY + name for name in self._teams), *self.read()]

    async def _bury(self, living: set[str], beats: Mapping[str, bytes]) -> None:
        """Forget who has been dead for a while."""
        now = self._clock.monotonic()
        dead = [id for id in beats.keys() - living if now - self._seen[id].since > BURIED_AFTER_S]
        if dead:
            gone = [Change(WORKER + id, None, expected=beats[id]) for id in dead]
            await self._ledger.change(gone)


def new_worker() -> str:
    """Return the id of a worker that there has never been."""
    return uuid.uuid4().hex[:12]


def _nobody(_holders: Holders, _worker: str) -> None:
    """Nobody has to be told."""


def _holders(
    lanes: Sequence[Lane], living: Mapping[str, WorkerRecord], take: Sequence[Lease]
) -> Holders:
    found: defaultdict[str, set[str]] = defaultdict(set)
    replays: defaultdict[str, set[str]] = defaultdict(set)
    for lane in lanes:
        if lane.worker is not None and lane.worker in living:
            found[lane.flow].add(lane.worker)
    for one in take:
        if one.worker is not None:
            found[one.flow].add(one.worker)
    for worker, record in living.items():
        for flow in record.replays:
            replays[flow].add(worker)
    return Holders(found, replays)
