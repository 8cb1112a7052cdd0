"""An installation of several processes on one engine: servers, intakes, workers, their wires."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import msgspec

from busway.control.worker import WorkerRecord
from crash.console import Console
from crash.member import Member
from crash.wire import Wire, wire_to
from nats_cluster import NatsCluster, nats_cluster
from postgres_server import PostgresServer, postgres_server
from proof import TOKEN

INTAKES = 2
WORKERS = 3
PARTITIONS = 3
MOVED_S = 60.0
STREAM = "crash"


class Servers(msgspec.Struct, frozen=True):
    """PostgreSQL with a database for the engine and one to deliver to; NATS where it is the log."""

    postgres: PostgresServer
    nats: NatsCluster | None

    def engine(self, ledger_port: int = 0) -> dict[str, str]:
        """Return the variables that name the engine, its ledger at another port where given."""
        ledger = self.database("ledger", ledger_port)
        if self.nats is None:
            return {"BUSWAY_ENGINE": ledger}
        return {"BUSWAY_ENGINE": self.nats.address(STREAM), "BUSWAY_LEDGER": ledger}

    def database(self, name: str, port: int = 0) -> str:
        return f"postgresql://postgres@127.0.0.1:{port or self.postgres.port}/{name}"


@contextmanager
def servers_of(engine: str) -> Iterator[Servers]:
    """Run the servers of an engine."""
    with postgres_server() as postgres:
        asyncio.run(_make_databases(postgres.dsn))
        if engine == "postgres":
            yield Servers(postgres, None)
            return
        with nats_cluster(3) as nats:
            yield Servers(postgres, nats)


async def _make_databases(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        for name in ("ledger", "shop"):
            await connection.execute(f"CREATE DATABASE {name}")
    finally:
        await connection.close()


class Installation:
    """Its processes; ``wires`` are those between each worker and the ledger."""

    def __init__(
        self,
        servers: Servers,
        intakes: Sequence[Member],
        wires: Mapping[str, Wire],
        workers: Sequence[Member],
        console: Console,
    ) -> None:
        self.servers = servers
        self.intakes = intakes
        self.workers = workers
        self.wires = wires
        self.console = console

    @property
    def members(self) -> Sequence[Member]:
        return [*self.intakes, *self.workers]

    @property
    def log(self) -> str:
        """The end of what each process wrote."""
        return "\n".join(f"{one.name}: {one.log[-1500:]}" for one in self.members)

    @property
    def urls(self) -> Sequence[str]:
        """Where the intakes take events, each as it was started last."""
        return [one.url for one in self.intakes]

    def url(self, chance: random.Random) -> str:
        """Return where a living intake takes events."""
        return chance.choice([one for one in self.intakes if one.alive] or self.intakes).url

    async def start(self) -> None:
        await asyncio.gather(*(one.start() for one in self.members))

    async def kill(self) -> None:
        for one in self.members:
            await one.kill()

    async def terminate(self) -> None:
        """Stop all in order."""
        codes = await asyncio.gather(*(one.terminate() for one in self.members))
        assert set(codes) == {0}, (codes, self.log)
        assert [bug for one in self.members for bug in one.bugs] == []

    async def lanes_of(self, worker: Member) -> int:
        """Return how many lanes a worker has."""
        return (await self._holders())[worker.pid]

    async def until_it_has_lanes(self, worker: Member) -> None:
        """Return once it works lanes, and has not only leased them."""
        deadline = time.monotonic() + MOVED_S
        while worker.lanes <= 0 or not await self.lanes_of(worker):
            assert time.monotonic() < deadline, f"{worker.name} gets no lanes; {self.log}"
            await asyncio.sleep(0.1)

    async def until_others_have_its_lanes(self, worker: Member) -> None:
        deadline = time.monotonic() + MOVED_S
        while await self.lanes_of(worker):
            assert time.monotonic() < deadline, f"{worker.name} keeps its lanes; {self.log}"
            await asyncio.sleep(0.1)

    async def _holders(self) -> Counter[int]:
        """Return how many lanes each process has."""
        connection: asyncpg.Connection[Any] = await asyncpg.connect(self.servers.database("ledger"))
        try:
            kept = await connection.fetch(
                "SELECT name, value FROM busway.named_value WHERE name LIKE 'worker/%'"
            )
            lanes = await connection.fetch(
                "SELECT worker FROM busway.lane WHERE worker IS NOT NULL"
            )
        finally:
            await connection.close()
        pids = {
            name.removeprefix("worker/"): msgspec.json.decode(value, type=WorkerRecord).pid
            for name, value in kept
        }
        return Counter(pids.get(worker, 0) for (worker,) in lanes)


@asynccontextmanager
async def installed(
    servers: Servers, flows: Path, home: Path, variables: Mapping[str, str]
) -> AsyncIterator[Installation]:
    """Have an installation, and nothing of it left at the end."""
    common = {**os.environ, **variables, **servers.engine()}
    common |= {"BUSWAY_LOG_LEVEL": "info", "BUSWAY_PARTITIONS": str(PARTITIONS)}
    common["BUSWAY_API_TOKEN"] = TOKEN
    common["BUSWAY_REPLAY_DIR"] = str(home)
    async with AsyncExitStack() as stack:
        intakes = [_intake(n, flows, home, common) for n in range(INTAKES)]
        workers: list[Member] = []
        wires: dict[str, Wire] = {}
        for number in range(WORKERS):
            wire = await stack.enter_async_context(wire_to(servers.postgres.port))
            given = common | servers.engine(wire.port)
            worker = Member(("work", str(flows)), home / f"worker{number}.log", given)
            workers.append(worker)
            wires[worker.name] = wire
        found = Installation(servers, intakes, wires, workers, Console(common))
        stack.push_async_callback(found.kill)
        yield found


def _intake(number: int, flows: Path, home: Path, variables: Mapping[str, str]) -> Member:
    return Member(("serve", str(flows), "--port", "0"), home / f"intake{number}.log", variables)
