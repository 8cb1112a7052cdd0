"""The replaying loop: takes up replays that run, lets go of those that do not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence

import msgspec

from busway.control import job as jobs
from busway.control.job import Job
from busway.control.replay.operation import Progress, by_name, finished, passed, progress_of
from busway.delivery.replay import replay_name
from busway.errors import BuswayError, StoreError
from busway.lane import Lane
from busway.ports import Log, Sink, Supplies
from busway.runtime.hub import Assignment, Hub
from busway.runtime.loop import Loop
from busway.runtime.replay.again import FailedAgain
from busway.runtime.replay.staff import Ground, Marks, Staff, engage
from busway.runtime.signal import Signal

EVERY_S = 0.5
"""How soon what another process did to a replay is noticed."""
RELEASE_S = 10.0
"""How long a stopped replay may take for the portion in hand."""
MEASURED_EVERY_S = 1.0
_RECENT = 0.3
"""How much the last second counts in the speed of a replay."""


def _every(_flow: str) -> bool:
    return True


class Replays:
    """Works the replays of a crew's flows. Live lanes do not wait: each replay works one lane at a
    time, in small portions."""

    def __init__(
        self,
        hub: Hub,
        log: Log,
        lanes: Mapping[str, Mapping[int, Assignment]],
        file: Callable[[str], Sink],
        supplies: Supplies,
        marks: Marks,
    ) -> None:
        self._hub = hub
        self._lanes = lanes
        self._changed = Signal(hub.clock)
        self._ground = Ground(hub, log, file, supplies, self._changed.give, marks, self._is_mine)
        self._again = FailedAgain(hub.ledger, hub.clock, self._is_mine)
        self._staffs: dict[str, Staff] = {}
        self._measured: dict[str, tuple[float, int]] = {}
        self.mine: Callable[[str], bool] = _every
        """Says of a flow whether its replays are worked here."""
        self._loop = Loop("replays", self.turn, hub.outage)

    def delivered(self) -> Collection[str]:
        """Return the flows to whose sinks something is replayed here now."""
        return {one.flow for one in self._staffs.values() if one.delivers}

    def start(self) -> None:
        """Begin to look for replays."""
        self._loop.start()

    def wake(self) -> None:
        """Look now: something was changed."""
        self._changed.give()

    async def stop(self, within_s: float) -> bool:
        """Finish what is in hand and stop; say whether all ended in time."""
        self._loop.stop()
        ended = [await self._loop.join(within_s)]
        ended += await asyncio.gather(*(one.stop(within_s) for one in self._staffs.values()))
        self._staffs.clear()
        return all(ended)

    async def turn(self, loop: Loop) -> None:
        """Look after every replay, then wait."""
        found = await jobs.jobs(self._hub.ledger, "replay")
        every = await self._hub.ledger.lanes() if found else ()
        await self._again.look(found, every)
        lanes = by_name(every)
        for one in found:
            await self._attend(one, lanes.get(replay_name(one.flow, one.id), ()))
        for id in self._staffs.keys() - {one.id for one in found}:
            await self._release(id)
        with loop.idle():
            await self._changed.within(EVERY_S)

    async def _attend(self, job: Job, lanes: Sequence[Lane]) -> None:
        parked = any(lane.counts.parked for lane in lanes)
        if not self._is_mine(job.flow):
            await self._release(job.id)
        elif job.state == "running":
            await self._engage(job)
            await self._note(job, lanes)
        elif job.state == "done" and parked:
            await self._engage(job)
        else:
            await self._release(job.id)

    def _is_mine(self, flow: str) -> bool:
        return self.mine(flow)

    async def _engage(self, job: Job) -> None:
        if job.id in self._staffs:
            await self._tell(job, self._staffs[job.id].held)
            return
        flow = self._lanes.get(job.flow)
        if flow is None:
            await self._tell(job, f"flow {job.flow!r} does not run here; it is not in the program")
            return
        try:
            self._staffs[job.id] = await engage(self._ground, flow, job)
        except StoreError:
            raise
        except (BuswayError, OSError, ValueError) as error:  # of this one alone: others go on
            await self._fail(job, str(error))
        else:
            await self._tell(job, "")

    async def _release(self, id: str) -> None:
        self._measured.pop(id, None)
        staff = self._staffs.pop(id, None)
        if staff is not None:
            await staff.stop(RELEASE_S)

    async def _tell(self, job: Job, text: str) -> None:
        if job.error != text:
            await self._alter(job, lambda one: msgspec.structs.replace(one, error=text))

    async def _fail(self, job: Job, text: str) -> None:
        at = self._hub.clock.now()
        await self._alter(
            job,
            lambda one: msgspec.structs.replace(one, state="failed", error=text, changed_at=at),
        )

    async def _note(self, job: Job, lanes: Sequence[Lane]) -> None:
        """Keep how far it is; it is done when all its lanes are at their ends."""
        done, at = passed(lanes), self._hub.clock.now()
        over, per_s = bool(lanes) and finished(job, lanes), self._per_s(job, done)
        if per_s is None and not over:
            return
        progress = msgspec.json.encode(Progress(progress_of(job).spans, per_s or 0.0))

        def noted(one: Job) -> Job:
            now = msgspec.structs.replace(one, done=done, progress=msgspec.Raw(progress))
            ended = over and one.state == "running"
            return msgspec.structs.replace(now, state="done", changed_at=at) if ended else now

        await self._alter(job, noted)

    def _per_s(self, job: Job, done: int) -> float | None:
        """Return the speed, in events of the log: mostly what it was, and a little what it is.

        Once a second; ``None`` in between.
        """
        now, before = self._hub.clock.monotonic(), progress_of(job).per_s
        then, had = self._measured.setdefault(job.id, (now, done))
        if now - then < MEASURED_EVERY_S:
            return None
        self._measured[job.id] = (now, done)
        measured = (done - had) / (now - then)
        return before + _RECENT * (measured - before) if before else measured

    async def _alter(self, job: Job, change: Callable[[Job], Job]) -> None:
        """Change a job, unless it has been forgotten."""
        if await self._hub.ledger.get(jobs.JOB + job.id):
            await jobs.alter(self._hub.ledger, job.id, change)
