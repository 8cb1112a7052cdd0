"""Look for what failed again in replays, when there is something new to look at."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from busway.clock import Clock
from busway.control.job import Job
from busway.control.replay.merge import merge_failed_again
from busway.control.replay.operation import is_finished, lanes_by_name
from busway.delivery.replay import replay_lane_name
from busway.lane import Lane
from busway.ports import Ledger

_CACHE_FACTOR = 20
"""A look is followed by a rest of so many times what it took."""
_Dead = tuple[tuple[str, int, int], ...]


class FailedAgainMerger:
    """Merges dead letters of replays into those of their flows
    (:mod:`busway.control.replay.merge`).

    Those that a replay has when it finishes are merged before it is reported as done.
    """

    def __init__(self, ledger: Ledger, clock: Clock, is_held: Callable[[str], bool]) -> None:
        self._ledger = ledger
        self._clock = clock
        self._is_held = is_held
        self._seen: dict[str, _Dead] = {}
        self._next_at: dict[str, float] = {}

    async def merge_new(self, found: Sequence[Job], lanes: Sequence[Lane]) -> None:
        """Merge what there is, flow by flow, where dead letters came or went since then."""
        ordered = sorted(found, key=lambda job: (job.created_at, job.id))
        for flow in dict.fromkeys(job.flow for job in ordered):
            own = [job for job in ordered if job.flow == flow]
            if self._is_held(flow):
                await self._merge_flow(flow, own, lanes)

    async def _merge_flow(self, flow: str, own: Sequence[Job], lanes: Sequence[Lane]) -> None:
        names = {replay_lane_name(flow, job.id) for job in own}
        here = [lane for lane in lanes if lane.flow == flow or lane.flow in names]
        dead: _Dead = tuple((one.flow, one.partition, one.counts.dead) for one in here)
        if not any(one.counts.dead for one in here if one.flow in names):
            return
        if dead == self._seen.get(flow):
            return
        began, by = self._clock.monotonic(), lanes_by_name(here)
        ends = any(
            job.state == "running" and is_finished(job, by.get(replay_lane_name(flow, job.id), ()))
            for job in own
        )
        if began < self._next_at.get(flow, began) and not ends:
            return
        await merge_failed_again(self._ledger, flow, [job.id for job in own], self._clock.now())
        self._seen[flow] = dead
        self._next_at[flow] = began + _CACHE_FACTOR * (self._clock.monotonic() - began)
