"""Kill a busy Busway again and again: nothing that it acknowledged is lost, nothing comes twice.

``BUSWAY_CRASH_ROUNDS`` sets how often, ``BUSWAY_CRASH_SEED`` repeats a run as far as it can be.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import msgspec
import pytest

from crash.evidence import (
    Sent,
    column,
    everything,
    holds_once,
    in_order,
    lines,
    one_key_each,
    passes_flaky,
)
from crash.operator import Operator
from crash.producer import Producer
from crash.server import Server
from http_target import Answer, HttpTarget, http_target
from postgres_server import PostgresServer, postgres_server

FLOWS = Path(__file__).with_name("flows.py")
ROUNDS = int(os.environ.get("BUSWAY_CRASH_ROUNDS", "4"))
SEED = os.environ.get("BUSWAY_CRASH_SEED") or f"{random.SystemRandom().getrandbits(32):08x}"
PRODUCERS = 5
SETTLED_S = 120.0


@asynccontextmanager
async def producing(seed: str) -> AsyncIterator[list[Producer]]:
    """Run producers; in the end they finish the request in hand."""
    numbers = itertools.count()
    producers = [
        Producer(f"p{each}", lambda: next(numbers), f"{seed}/{each}") for each in range(PRODUCERS)
    ]
    async with asyncio.TaskGroup() as group:
        for producer in producers:
            group.create_task(producer.run())
        yield producers
        for producer in producers:
            producer.stopping = True


def sent_by(producers: list[Producer]) -> Sent:
    return Sent(
        frozenset().union(*(producer.acknowledged for producer in producers)),
        frozenset().union(*(producer.sent for producer in producers)),
    )


def moody(chance: random.Random) -> Answer:
    """Answer as a destination on a bad day."""
    roll = chance.random()
    if roll < 0.01:
        return Answer(500)
    if roll < 0.02:
        return Answer(429, {"Retry-After": "0"})
    return Answer(drop=True) if roll < 0.025 else Answer()


async def until_settled(server: Server, operator: Operator) -> None:
    """Return once no flow and no job has anything left to do."""
    deadline = time.monotonic() + SETTLED_S
    while True:
        flows = await server.status()
        left = {name: (one["backlog"], one["parked"]) for name, one in flows.items()}
        if not any(map(any, left.values())) and await operator.finished(server.url):
            return
        assert time.monotonic() < deadline, f"not settled: {left}; {server.errors[-4000:]}"


class World:
    """The server, what it delivers to, and who sends to it."""

    def __init__(
        self,
        server: Server,
        target: HttpTarget,
        postgres: PostgresServer,
        producers: list[Producer],
        operator: Operator,
    ) -> None:
        self.operator = operator
        self.server = server
        self.target = target
        self.postgres = postgres
        self.producers = producers

    async def start(self) -> None:
        await self.server.start()
        for producer in self.producers:
            producer.url = self.server.url

    async def calm(self) -> None:
        """Nothing but the crash goes wrong."""

    async def restart_postgres(self) -> None:
        """The database crashes, and comes back."""
        await asyncio.to_thread(self.postgres.stop, immediate=True)
        await asyncio.to_thread(self.postgres.start)

    async def restart_target(self) -> None:
        """The HTTP destination drops every connection, and comes back."""
        await self.target.stop()
        await asyncio.sleep(0.2)  # how long it is away
        await self.target.start()


async def round_of(world: World, number: int, chance: random.Random) -> None:
    """Start it, let something go wrong, kill it at any time, and look at what is left."""
    mischief = (world.restart_postgres, world.calm, world.restart_target)
    await world.start()
    async with asyncio.TaskGroup() as group:
        group.create_task(mischief[number % len(mischief)]())
        group.create_task(world.operator.work(world.server.url))
        await asyncio.sleep(chance.uniform(0.05, 1.2))  # the moment of the crash, not a wait
        await world.server.kill()
    await world.server.check()
    await world.server.status()


def compare(home: Path, target: HttpTarget, sent: Sent) -> None:
    """Compare every destination with what was sent."""
    database = home / "out.db"
    holds_once("to_sqlite", column(database, "plain", "id"), sent)
    holds_once("to_jsonl", [line["id"] for line in lines(home / "plain.jsonl")], sent)
    holds_once("filtered", column(database, "filtered", "id"), sent, lambda n: n >= 100)
    causes, indexes = column(database, "chained", "cause"), column(database, "chained", "idx")
    pairs = list(zip(causes, indexes, strict=True))
    holds_once("chained", [cause for cause, index in pairs if index == 0], sent)
    second = [cause for cause, index in pairs if index == 1]
    holds_once("chained, second", second, sent, lambda n: n % 5 == 0)
    holds_once("flaky", column(database, "flaky", "id"), sent, passes_flaky)
    ordered = lines(home / "ordered.jsonl")
    holds_once("flaky_ordered", [line["id"] for line in ordered], sent, passes_flaky)
    in_order("flaky_ordered", ordered)
    taken = [msgspec.json.decode(call.body) for call in target.taken]
    holds_once("to_http", {row["id"] for row in taken}, sent, everything)
    in_order("to_http", taken)
    one_key_each(target.calls)


def compare_files(operator: Operator, sent: Sent) -> None:
    """Check that what was replayed into files is there once, and nothing else."""
    for file in operator.files:
        found = [line["id"] for line in lines(file)] if file.exists() else []
        assert len(set(found)) == len(found), f"{file} holds some twice"
        assert set(found) <= {f"e{number}" for number in sent.every}


async def compare_postgres(dsn: str, sent: Sent) -> None:
    """Compare the tables in PostgreSQL with what was sent."""
    connection = await asyncpg.connect(dsn)
    try:
        for table, wanted in (("plain", everything), ("flaky", passes_flaky)):
            rows = await connection.fetch(f"SELECT id FROM {table}")
            holds_once(f"postgres {table}", [row["id"] for row in rows], sent, wanted)
    finally:
        await connection.close()


async def compare_dead(server: Server, sent: Sent) -> None:
    """Check that the dead letters are those events that never work."""
    letters = await server.dead()
    flows = ("flaky", "flaky_ordered", "flaky_postgres")
    for flow in flows:
        found = [letter["id"] for letter in letters if letter["flow"] == flow]
        holds_once(f"dead letters of {flow}", found, sent, lambda n: n % 97 == 0)
    assert {letter["flow"].partition("@")[0] for letter in letters} <= set(flows)


@pytest.mark.slow
async def test_each_acknowledged_event_is_delivered_exactly_once(tmp_path: Path) -> None:
    print(f"BUSWAY_CRASH_SEED={SEED} BUSWAY_CRASH_ROUNDS={ROUNDS}")
    mood = random.Random(f"mood {SEED}")
    with postgres_server() as postgres:
        async with http_target() as target:
            target.decide = lambda call: moody(mood)
            where = {"CRASH_HOME": str(tmp_path), "CRASH_URL": target.url}
            server = Server(FLOWS, tmp_path, where | {"CRASH_DSN": postgres.dsn})
            operator = Operator(tmp_path, random.Random(f"operator {SEED}"))
            try:
                sent = await crash_again_and_again(server, target, postgres, operator)
            finally:
                await server.kill()
            compare(tmp_path, target, sent)
            compare_files(operator, sent)
            await compare_postgres(postgres.dsn, sent)
            await compare_dead(server, sent)


async def crash_again_and_again(
    server: Server, target: HttpTarget, postgres: PostgresServer, operator: Operator
) -> Sent:
    """Go through all rounds and one without a crash, and return what was sent."""
    chance = random.Random(SEED)
    async with producing(SEED) as producers:
        world = World(server, target, postgres, producers, operator)
        for number in range(ROUNDS):
            await round_of(world, number, chance)
        await world.start()
    target.decide = lambda call: Answer()
    sent = sent_by(producers)
    await operator.release(server.url)
    await until_settled(server, operator)
    print(f"the operator was answered: {operator.done}")
    assert len(operator.done) == len(set(Operator._deeds)) or ROUNDS < 10
    assert await server.terminate(15) == 0, server.errors[-4000:]
    await server.check()
    repeated = sum(producer.repeated for producer in producers)
    print(f"{len(sent.acknowledged)} of {len(sent.every)} acknowledged, {repeated} repeats")
    assert len(sent.acknowledged) > 50 * ROUNDS
    assert repeated > 0
    return sent
