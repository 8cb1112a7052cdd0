"""The team of a flow: a delivering loop for each lane that is worked here, one that retries."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import msgspec

from busway.flow.limit import bind, unbind
from busway.lane import Lane
from busway.runtime.hold.limit import NamedLimit
from busway.runtime.hub import Assignment
from busway.runtime.lane.careful import Careful
from busway.runtime.lane.deliver import Deliverer
from busway.runtime.lane.retry import Retrier
from busway.runtime.lease.tenure import Tenure
from busway.runtime.loop import Loop


class Team:
    """Starts and stops the loops of one flow; ``lanes`` are all of its lanes, by partition.

    A ``leased`` team has some of them only, and retries nothing of the others.
    """

    def __init__(
        self,
        lanes: Mapping[int, Assignment],
        limits: Mapping[str, NamedLimit],
        *,
        leased: bool = False,
    ) -> None:
        self.lanes = lanes
        self.flow = next(iter(lanes.values())).flow
        self._limits = limits
        self._leased = leased
        self._held: dict[int, Assignment] = {}
        self._loops: dict[int, Loop] = {}
        self._retrying: Loop | None = None
        self._retried: dict[int, Assignment] = {}
        self._ending = asyncio.Lock()

    @property
    def held(self) -> Mapping[int, Tenure]:
        """The lanes that are worked here."""
        return {partition: one.tenure for partition, one in self._held.items()}

    def begin(
        self, lane: Lane, careful: Careful | None = None, tenure: Tenure | None = None
    ) -> None:
        """Work a lane from its cursor on."""
        to = self.lanes[lane.partition]
        to = to if tenure is None else msgspec.structs.replace(to, tenure=tenure)
        self._held[lane.partition] = to
        name = f"{lane.flow}/{lane.partition}"
        turn = Deliverer(to, lane, careful).turn
        self._loops[lane.partition] = loop = Loop(name, turn, to.hub.outage, flow=lane.flow)
        self._start(loop)
        if self._retrying is None:
            self._retry()
        else:
            self._retried[lane.partition] = to

    async def end(self, partition: int, within_s: float) -> bool:
        """Finish what is in hand of a lane, and work it no more; say whether that ended in time."""
        ended = await _stopped([self._loops.pop(partition)], within_s)
        async with self._ending:
            # what it has begun to retry is to end before somebody else sees it as begun
            ended = await self._stop_retrying(within_s) and ended
            del self._held[partition]
        self._retry()
        return ended

    async def stop(self, within_s: float) -> bool:
        """Finish what is in hand of all lanes, and work none any more."""
        ended = await _stopped(list(self._loops.values()), within_s)
        self._loops.clear()
        async with self._ending:
            ended = await self._stop_retrying(within_s) and ended
            self._held.clear()
        return ended

    def _retry(self) -> None:
        if self._held and self._retrying is None and not self._ending.locked():
            self._retried = dict(self._held)
            hub = next(iter(self._retried.values())).hub
            retrier = Retrier(hub, self._retried, leased=self._leased)
            name = self.flow.name
            self._retrying = Loop(f"{name}/retry", retrier.turn, hub.outage, flow=name)
            self._start(self._retrying)

    async def _stop_retrying(self, within_s: float) -> bool:
        retrying, self._retrying = self._retrying, None
        return retrying is None or await _stopped([retrying], within_s)

    def _start(self, loop: Loop) -> None:
        bound = bind(self._limits)
        loop.start()
        unbind(bound)


async def _stopped(loops: list[Loop], within_s: float) -> bool:
    for loop in loops:
        loop.stop()
    return all(await asyncio.gather(*(loop.join(within_s) for loop in loops)))
