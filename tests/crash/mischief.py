"""What goes wrong in an installation of several processes, each thing once and by chance."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence

from crash import mood
from crash.installation import STREAM, Installation
from crash.member import Member
from http_target import HttpTarget
from nats_cluster import NatsCluster, NatsNode

NOTICED_S = 60.0
Deed = Callable[[], Awaitable[None]]


class Mischief:
    """Does one thing after the other; when it is done, all runs again.

    What was killed is away for ``away_s`` at most.
    """

    def __init__(
        self,
        installation: Installation,
        target: HttpTarget,
        chance: random.Random,
        away_s: float,
    ) -> None:
        self._at = installation
        self._target = target
        self._chance = chance
        self._away_s = away_s
        self._nats = installation.servers.nats

    @property
    def deeds(self) -> Sequence[Deed]:
        """All that can be done on this engine."""
        own: Sequence[Deed] = (
            self.kill_a_worker,
            self.crash_postgres,
            self.freeze_a_worker,
            self.kill_an_intake,
            self.cut_a_worker_off,
            self.restart_target,
            self.kill_several_workers,
            self.hold_a_worker_back,
        )
        if self._nats is None:
            return own
        return (*own, self.kill_the_leader, self.kill_a_follower)

    async def kill_a_worker(self) -> None:
        await self._kill(self._chance.choice(self._at.workers))

    async def kill_several_workers(self) -> None:
        """Two of them, or all."""
        count = self._chance.choice((2, len(self._at.workers)))
        await asyncio.gather(*map(self._kill, self._chance.sample(self._at.workers, count)))

    async def kill_an_intake(self) -> None:
        await self._kill(self._chance.choice(self._at.intakes))

    async def freeze_a_worker(self) -> None:
        """It stands still until others have its lanes; then it goes on, and must notice."""
        worker = await self._one_with_lanes()
        before = fenced(worker)
        worker.freeze()
        try:
            await self._at.until_others_have_its_lanes(worker)
        finally:
            worker.thaw()
        await self._until_fenced(worker, before)

    async def cut_a_worker_off(self) -> None:
        """Its connections to the ledger break, and it gets no new ones until others work."""
        worker = await self._one_with_lanes()
        before = fenced(worker)
        await self._at.wires[worker.name].cut()
        try:
            await self._at.until_others_have_its_lanes(worker)
        finally:
            await self._at.wires[worker.name].heal()
        await self._until_fenced(worker, before)

    async def hold_a_worker_back(self) -> None:
        """What it tells the ledger, and hears of it, is late: others have its lanes by then.

        Or it never arrives.
        """
        worker = await self._one_with_lanes()
        before = fenced(worker)
        self._at.wires[worker.name].hold()
        try:
            await self._at.until_others_have_its_lanes(worker)
        finally:
            await self._at.wires[worker.name].heal(lost=self._chance.random() < 0.5)
        await self._until_fenced(worker, before)

    async def crash_postgres(self) -> None:
        """Engine and destination go away, and come back."""
        postgres = self._at.servers.postgres
        await asyncio.to_thread(postgres.stop, immediate=True)
        await self._a_while()
        await asyncio.to_thread(postgres.start)

    async def restart_target(self) -> None:
        """The HTTP destination goes away, and comes back."""
        await mood.restart(self._target)

    async def kill_the_leader(self) -> None:
        """The server that leads the log's stream."""
        nats = self._cluster
        await self._kill_node(await asyncio.to_thread(nats.leader, STREAM))

    async def kill_a_follower(self) -> None:
        """A server that has a copy of the log."""
        nats = self._cluster
        await self._kill_node(await asyncio.to_thread(nats.follower, STREAM))

    async def _kill_node(self, node: NatsNode) -> None:
        await asyncio.to_thread(node.kill)
        await self._a_while()
        await asyncio.to_thread(self._cluster.start)

    @property
    def _cluster(self) -> NatsCluster:
        assert self._nats is not None
        return self._nats

    async def _kill(self, member: Member) -> None:
        await asyncio.sleep(self._chance.random())  # the moment of the crash, not a wait
        await member.kill()
        await self._a_while()
        await member.start()

    async def _a_while(self) -> None:
        await asyncio.sleep(self._chance.uniform(0.0, self._away_s))  # how long it is away

    async def _one_with_lanes(self) -> Member:
        worker = self._chance.choice(self._at.workers)
        await self._at.until_it_has_lanes(worker)
        return worker

    async def _until_fenced(self, worker: Member, before: int) -> None:
        deadline = time.monotonic() + NOTICED_S
        while fenced(worker) == before:
            assert time.monotonic() < deadline, f"{worker.name} noticed nothing; {self._at.log}"
            await asyncio.sleep(0.1)


def fenced(worker: Member) -> int:
    """Return how many lanes a worker has lost without giving them up."""
    return worker.log.count("lane lost to another worker")
