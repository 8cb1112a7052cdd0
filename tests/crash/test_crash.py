"""Kill a busy Busway again and again: nothing that it acknowledged is lost, nothing comes twice.

``BUSWAY_CRASH_ROUNDS`` sets how often, ``BUSWAY_CRASH_SEED`` repeats a run as far as it can be.
"""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path

import pytest

from crash import mood
from crash.compare import (
    compare_dead,
    compare_files,
    compare_postgres,
    compare_replays,
    compare_target,
)
from crash.console import Console
from crash.evidence import Sent
from crash.member import Member
from crash.operator import Operator
from crash.producer import Producers, producing
from http_target import Answer, HttpTarget, http_target
from postgres_server import PostgresServer, postgres_server

FLOWS = Path(__file__).with_name("flows.py")
ROUNDS = int(os.environ.get("BUSWAY_CRASH_ROUNDS", "4"))
SEED = os.environ.get("BUSWAY_CRASH_SEED") or f"{random.SystemRandom().getrandbits(32):08x}"


class World:
    """The one process, what it delivers to, and who sends to it."""

    def __init__(
        self, home: Path, target: HttpTarget, postgres: PostgresServer, producers: Producers
    ) -> None:
        where = {"CRASH_HOME": str(home), "CRASH_URL": target.url, "CRASH_DSN": postgres.dsn}
        variables = os.environ | where | {"BUSWAY_DATA": str(home / "data")}
        variables |= {"BUSWAY_LOG_LEVEL": "warning"}
        self.server = Member(("run", str(FLOWS), "--port", "0"), home / "server.log", variables)
        self.console = Console(variables)
        self.operator = Operator(home, random.Random(f"operator {SEED}"))
        self.target = target
        self.postgres = postgres
        self.producers = producers

    async def start(self) -> None:
        await self.server.start()
        self.producers.send_to([self.server.url])

    async def calm(self) -> None:
        """Nothing but the crash goes wrong."""

    async def restart_postgres(self) -> None:
        """The database crashes, and comes back."""
        await asyncio.to_thread(self.postgres.stop, immediate=True)
        await asyncio.to_thread(self.postgres.start)

    async def restart_target(self) -> None:
        """The HTTP destination goes away, and comes back."""
        await mood.restart(self.target)


async def round_of(world: World, number: int, chance: random.Random) -> None:
    """Start it, let something go wrong, kill it at any time, and look at what is left."""
    mischief = (world.restart_postgres, world.calm, world.restart_target)
    await world.start()
    async with asyncio.TaskGroup() as group:
        group.create_task(mischief[number % len(mischief)]())
        group.create_task(world.operator.work(world.server.url))
        await asyncio.sleep(chance.uniform(0.05, 1.2))  # the moment of the crash, not a wait
        await world.server.kill()
    await world.console.check()
    await world.console.status()


@pytest.mark.slow
async def test_each_acknowledged_event_is_delivered_exactly_once(tmp_path: Path) -> None:
    print(f"BUSWAY_CRASH_SEED={SEED} BUSWAY_CRASH_ROUNDS={ROUNDS}")
    chance = random.Random(f"mood {SEED}")
    with postgres_server() as postgres:
        async with http_target() as target, producing(SEED) as producers:
            target.decide = lambda call: mood.moody(chance)
            world = World(tmp_path, target, postgres, producers)
            try:
                sent = await crash_again_and_again(world)
            finally:
                await world.server.kill()
            compare_files(tmp_path, sent)
            compare_target(target, sent)
            compare_replays(world.operator.files, sent)
            await compare_postgres(postgres.dsn, sent)
            await compare_dead(world.console, sent)


async def crash_again_and_again(world: World) -> Sent:
    """Go through all rounds and one without a crash, and return what was sent."""
    chance = random.Random(SEED)
    for number in range(ROUNDS):
        await round_of(world, number, chance)
    await world.start()
    sent = await world.producers.finish()
    world.target.decide = lambda call: Answer()
    server, operator, console = world.server, world.operator, world.console
    await operator.release(server.url)
    await console.until_settled(lambda: operator.finished(server.url), lambda: server.log)
    print(f"the operator was answered: {operator.done}")
    assert len(operator.done) == len(set(Operator._deeds)) or ROUNDS < 10
    assert await server.terminate(15) == 0, server.log[-4000:]
    await console.check()
    repeated = world.producers.repeated
    print(f"{len(sent.acknowledged)} of {len(sent.every)} acknowledged, {repeated} repeats")
    assert len(sent.acknowledged) > 50 * ROUNDS
    assert repeated > 0
    return sent
