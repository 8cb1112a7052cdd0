"""The team of a flow: a delivering loop for each lane that is worked here, one that retries."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import msgspec

from busway.flow.limit import bind_limiters, unbind_limiters
from busway.lane import Lane
from busway.runtime.admission.named_limit import NamedLimit
from busway.runtime.context import LaneConsumer
from busway.runtime.lane.deliver import Deliverer
from busway.runtime.lane.poison_isolation import PoisonBisection
from busway.runtime.lane.retry import Retrier
from busway.runtime.lease.lease import Lease
from busway.runtime.loop import Loop


class FlowConsumers:
    """Starts and stops the loops of one flow; ``consumers`` are all of its lanes, by partition.

    A ``leased`` team has some of them only, and retries nothing of the others.
    """

    def __init__(
        self,
        consumers: Mapping[int, LaneConsumer],
        limits: Mapping[str, NamedLimit],
        *,
        leased: bool = False,
    ) -> None:
        self.consumers = consumers
        self.flow = next(iter(consumers.values())).flow
        self._limits = limits
        self._leased = leased
        self._held: dict[int, LaneConsumer] = {}
        self._loops: dict[int, Loop] = {}
        self._retry_loop: Loop | None = None
        self._retried_consumers: dict[int, LaneConsumer] = {}
        self._stopping = asyncio.Lock()

    @property
    def leases(self) -> Mapping[int, Lease]:
        """The lanes that are worked here."""
        return {partition: one.lease for partition, one in self._held.items()}

    def start_lane(
        self, lane: Lane, bisection: PoisonBisection | None = None, lease: Lease | None = None
    ) -> None:
        """Work a lane from its cursor on."""
        to = self.consumers[lane.partition]
        to = to if lease is None else msgspec.structs.replace(to, lease=lease)
        self._held[lane.partition] = to
        name = f"{lane.flow}/{lane.partition}"
        turn = Deliverer(to, lane, bisection).run_once
        self._loops[lane.partition] = loop = Loop(name, turn, to.context.outage_log, flow=lane.flow)
        self._start_loop(loop)
        if self._retry_loop is None:
            self._start_retrying()
        else:
            self._retried_consumers[lane.partition] = to

    async def stop_lane(self, partition: int, within_s: float) -> bool:
        """Finish what is in hand of a lane, and work it no more; say whether that ended in time."""
        ended = await _stop_loops([self._loops.pop(partition)], within_s)
        async with self._stopping:
            # what it has begun to retry is to end before somebody else sees it as begun
            ended = await self._stop_retrying(within_s) and ended
            del self._held[partition]
        self._start_retrying()
        return ended

    async def stop(self, within_s: float) -> bool:
        """Finish what is in hand of all lanes, and work none any more."""
        ended = await _stop_loops(list(self._loops.values()), within_s)
        self._loops.clear()
        async with self._stopping:
            ended = await self._stop_retrying(within_s) and ended
            self._held.clear()
        return ended

    def _start_retrying(self) -> None:
        if self._held and self._retry_loop is None and not self._stopping.locked():
            self._retried_consumers = dict(self._held)
            hub = next(iter(self._retried_consumers.values())).context
            retrier = Retrier(hub, self._retried_consumers, leased=self._leased)
            name = self.flow.name
            self._retry_loop = Loop(f"{name}/retry", retrier.run_once, hub.outage_log, flow=name)
            self._start_loop(self._retry_loop)

    async def _stop_retrying(self, within_s: float) -> bool:
        retrying, self._retry_loop = self._retry_loop, None
        return retrying is None or await _stop_loops([retrying], within_s)

    def _start_loop(self, loop: Loop) -> None:
        bound = bind_limiters(self._limits)
        loop.start()
        unbind_limiters(bound)


async def _stop_loops(loops: list[Loop], within_s: float) -> bool:
    for loop in loops:
        loop.stop()
    return all(await asyncio.gather(*(loop.join(within_s) for loop in loops)))
