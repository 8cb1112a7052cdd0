"""The replaying loop: takes up replays that run, lets go of those that do not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence

import msgspec

from busway.control import job as jobs
from busway.control.job import Job
from busway.control.replay.operation import (
    ReplayProgress,
    is_finished,
    lanes_by_name,
    passed_events,
    progress_of,
)
from busway.delivery.replay import replay_lane_name
from busway.errors import BuswayError, StoreError
from busway.lane import Lane
from busway.ports import Log, Sink, SinkContext
from busway.runtime.context import Context, LaneConsumer
from busway.runtime.loop import Loop
from busway.runtime.replay.merge import FailedAgainMerger
from busway.runtime.replay.runner import (
    MarkerLookup,
    ReplayContext,
    ReplayRunner,
    start_replay,
)
from busway.runtime.signal import Signal

INTERVAL_S = 0.5
"""How soon what another process did to a replay is noticed."""
STOP_TIMEOUT_S = 10.0
"""How long a stopped replay may take for the batch in hand."""
RATE_INTERVAL_S = 1.0
_SMOOTHING = 0.3
"""How much the last second counts in the speed of a replay."""


def _every_flow(_flow: str) -> bool:
    return True


class ReplayDispatcher:
    """Works the replays of this process's flows. Live lanes do not wait: each replay works one
    lane at a time, in small batches."""

    def __init__(
        self,
        context: Context,
        log: Log,
        lanes: Mapping[str, Mapping[int, LaneConsumer]],
        file_sink: Callable[[str], Sink],
        sink_context: SinkContext,
        markers: MarkerLookup,
    ) -> None:
        self._context = context
        self._lanes = lanes
        self._changed = Signal(context.clock)
        self._replay_context = ReplayContext(
            context, log, file_sink, sink_context, self._changed.notify, markers, self._is_held_here
        )
        self._merger = FailedAgainMerger(context.ledger, context.clock, self._is_held_here)
        self._runners: dict[str, ReplayRunner] = {}
        self._measured: dict[str, tuple[float, int]] = {}
        self.is_held: Callable[[str], bool] = _every_flow
        """Says of a flow whether its replays are worked here."""
        self._loop = Loop("replays", self.run_once, context.outage_log)

    def replayed_flows(self) -> Collection[str]:
        """Return the flows to whose sinks something is replayed here now."""
        return {one.flow for one in self._runners.values() if one.delivers_to_sink}

    def start(self) -> None:
        """Begin to look for replays."""
        self._loop.start()

    def wake(self) -> None:
        """Look now: something was changed."""
        self._changed.notify()

    async def stop(self, within_s: float) -> bool:
        """Finish what is in hand and stop; say whether all ended in time."""
        self._loop.stop()
        ended = [await self._loop.join(within_s)]
        ended += await asyncio.gather(*(one.stop(within_s) for one in self._runners.values()))
        self._runners.clear()
        return all(ended)

    async def run_once(self, loop: Loop) -> None:
        """Look after every replay, then wait."""
        found = await jobs.jobs(self._context.ledger, "replay")
        every = await self._context.ledger.lanes() if found else ()
        await self._merger.merge_new(found, every)
        lanes = lanes_by_name(every)
        for one in found:
            await self._update(one, lanes.get(replay_lane_name(one.flow, one.id), ()))
        for id in self._runners.keys() - {one.id for one in found}:
            await self._stop_runner(id)
        with loop.interruptible():
            await self._changed.wait(INTERVAL_S)

    async def _update(self, job: Job, lanes: Sequence[Lane]) -> None:
        parked = any(lane.counts.parked for lane in lanes)
        if not self._is_held_here(job.flow):
            await self._stop_runner(job.id)
        elif job.state == "running":
            await self._start_runner(job)
            await self._save_progress(job, lanes)
        elif job.state == "done" and parked:
            await self._start_runner(job)
        else:
            await self._stop_runner(job.id)

    def _is_held_here(self, flow: str) -> bool:
        return self.is_held(flow)

    async def _start_runner(self, job: Job) -> None:
        if job.id in self._runners:
            await self._set_error(job, self._runners[job.id].blocked_reason)
            return
        flow = self._lanes.get(job.flow)
        if flow is None:
            await self._set_error(
                job, f"flow {job.flow!r} does not run here; it is not in the program"
            )
            return
        try:
            self._runners[job.id] = await start_replay(self._replay_context, flow, job)
        except StoreError:
            raise
        except (BuswayError, OSError, ValueError) as error:  # of this one alone: others go on
            await self._fail(job, str(error))
        else:
            await self._set_error(job, "")

    async def _stop_runner(self, id: str) -> None:
        self._measured.pop(id, None)
        staff = self._runners.pop(id, None)
        if staff is not None:
            await staff.stop(STOP_TIMEOUT_S)

    async def _set_error(self, job: Job, text: str) -> None:
        if job.error != text:
            await self._update_job(job, lambda one: msgspec.structs.replace(one, error=text))

    async def _fail(self, job: Job, text: str) -> None:
        at = self._context.clock.now()
        await self._update_job(
            job,
            lambda one: msgspec.structs.replace(one, state="failed", error=text, changed_at=at),
        )

    async def _save_progress(self, job: Job, lanes: Sequence[Lane]) -> None:
        """Keep how far it is; it is done when all its lanes are at their ends."""
        done, at = passed_events(lanes), self._context.clock.now()
        over, per_s = bool(lanes) and is_finished(job, lanes), self._rate_per_s(job, done)
        if per_s is None and not over:
            return
        progress = msgspec.json.encode(ReplayProgress(progress_of(job).spans, per_s or 0.0))

        def noted(one: Job) -> Job:
            now = msgspec.structs.replace(one, done=done, progress=msgspec.Raw(progress))
            ended = over and one.state == "running"
            return msgspec.structs.replace(now, state="done", changed_at=at) if ended else now

        await self._update_job(job, noted)

    def _rate_per_s(self, job: Job, done: int) -> float | None:
        """Return the speed, in events of the log: mostly what it was, and a little what it is.

        Once a second; ``None`` in between.
        """
        now, before = self._context.clock.monotonic(), progress_of(job).per_s
        then, had = self._measured.setdefault(job.id, (now, done))
        if now - then < RATE_INTERVAL_S:
            return None
        self._measured[job.id] = (now, done)
        measured = (done - had) / (now - then)
        return before + _SMOOTHING * (measured - before) if before else measured

    async def _update_job(self, job: Job, change: Callable[[Job], Job]) -> None:
        """Change a job, unless it has been forgotten."""
        if await self._context.ledger.get_values(jobs.JOB + job.id):
            await jobs.update_job(self._context.ledger, job.id, change)
