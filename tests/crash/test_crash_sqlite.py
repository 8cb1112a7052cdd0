"""Kill a busy Busway again and again: nothing that it acknowledged is lost, nothing comes twice.

Once as a process that does all, once with workers beside it, of which one may be killed by itself.
``BUSWAY_CRASH_ROUNDS`` sets how often, ``BUSWAY_CRASH_WORKERS`` how many workers there are then,
``BUSWAY_CRASH_SEED`` repeats a run as far as it can be.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import time
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import pytest

from crash import mood
from crash.compare import (
    compare_chained,
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
from proof import TOKEN

FLOWS = Path(__file__).with_name("flows.py")
ROUNDS = int(os.environ.get("BUSWAY_CRASH_ROUNDS", "4"))
MANY = ROUNDS >= 10
OPERATOR_RESTS_S = 0.02 if MANY else 0.1
PACE_S = 0.05 if MANY else 0.15
WORKERS = int(os.environ.get("BUSWAY_CRASH_WORKERS", "2"))
SEED = os.environ.get("BUSWAY_CRASH_SEED") or f"{random.SystemRandom().getrandbits(32):08x}"


class World:
    """The process and its workers, what they deliver to, and who sends to them."""

    def __init__(
        self,
        home: Path,
        workers: int,
        target: HttpTarget,
        postgres: PostgresServer,
        producers: Producers,
    ) -> None:
        where = {"CRASH_HOME": str(home), "CRASH_URL": target.url, "CRASH_DSN": postgres.dsn}
        where["BUSWAY_API_TOKEN"] = TOKEN
        variables = os.environ | where | {"BUSWAY_DATA": str(home / "data")}
        variables |= {"BUSWAY_LOG_LEVEL": "warning", "BUSWAY_REPLAY_DIR": str(home)}
        how = ("--port", "0", *(("--workers", str(workers)) if workers else ()))
        self.server = Member(("run", str(FLOWS), *how), home / "server.log", variables)
        self._workers = workers
        self.console = Console(variables)
        self.operator = Operator(home, random.Random(f"operator {SEED}"), OPERATOR_RESTS_S)
        self.target = target
        self.postgres = postgres
        self.producers = producers

    async def start(self) -> None:
        await self.server.start()
        self.producers.send_to(lambda: [self.server.url])

    async def calm(self, _: random.Random) -> None:
        """Nothing but the crash goes wrong."""

    @property
    def mischief(self) -> Sequence[Callable[[random.Random], Coroutine[Any, Any, None]]]:
        """What can go wrong beside the crash of all."""
        own = (self.restart_postgres, self.calm, self.restart_target)
        return (*own, self.kill_a_worker) if self._workers else own

    async def kill_a_worker(self, chance: random.Random) -> None:
        """One of the workers dies, where there is one yet."""
        if found := await workers_of(self.server.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(chance.choice(found), signal.SIGKILL)

    async def restart_postgres(self, _: random.Random) -> None:
        """The database crashes, and comes back."""
        await asyncio.to_thread(self.postgres.stop, immediate=True)
        await asyncio.to_thread(self.postgres.start)

    async def restart_target(self, _: random.Random) -> None:
        """The HTTP destination goes away, and comes back."""
        await mood.restart(self.target)


async def workers_of(pid: int) -> list[int]:
    """Return the processes that deliver for a process, of those that it has started."""
    listing = await asyncio.create_subprocess_exec(
        *("ps", "-A", "-o", "ppid=,pid=,args="), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await listing.communicate()
    found = [line.split(maxsplit=2) for line in out.decode().splitlines()]
    return [int(one[1]) for one in found if one[0] == str(pid) and " work " in one[2]]


async def round_of(world: World, number: int, chance: random.Random) -> None:
    """Start it, let something go wrong, kill it at any time, and look at what is left."""
    mischief = world.mischief
    await world.start()
    async with asyncio.TaskGroup() as group:
        group.create_task(mischief[number % len(mischief)](chance))
        group.create_task(world.operator.work(world.server.url))
        await asyncio.sleep(chance.uniform(0.05, 1.2))  # the moment of the crash, not a wait
        await world.server.kill()
    await world.console.check()
    await world.console.status()


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, WORKERS], ids=["alone", "workers"])
async def test_each_acknowledged_event_is_delivered_exactly_once(
    tmp_path: Path, workers: int
) -> None:
    print(f"BUSWAY_CRASH_SEED={SEED} BUSWAY_CRASH_ROUNDS={ROUNDS}")
    chance = random.Random(f"mood {SEED}")
    with postgres_server() as postgres:
        async with http_target() as target, producing(SEED, pace_s=PACE_S) as producers:
            target.decide = lambda call: mood.moody(chance)
            world = World(tmp_path, workers, target, postgres, producers)
            try:
                sent = await crash_again_and_again(world)
            finally:
                await world.server.kill()
            compare_files(tmp_path, sent)
            compare_chained(tmp_path, sent)
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
    await world.producers.until_acknowledged(10 * ROUNDS)
    sent = await world.producers.finish()
    began = time.monotonic()
    world.target.decide = lambda call: Answer()
    server, operator, console = world.server, world.operator, world.console
    await operator.release(server.url)
    await console.until_settled(lambda: operator.left(server.url), lambda: server.log)
    print(f"settled within {time.monotonic() - began:.1f} s")
    print(f"the operator was answered: {operator.done}")
    assert len(operator.done) == len(set(Operator._deeds)) or not MANY
    assert await server.terminate() == 0, server.log[-4000:]
    assert server.bugs == []
    await console.check()
    repeated = world.producers.repeated
    print(f"{len(sent.acknowledged)} of {len(sent.every)} acknowledged, {repeated} repeats")
    assert repeated > 0
    return sent
