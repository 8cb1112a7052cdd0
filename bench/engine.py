"""The engines to measure: real servers, new installations on them, and what they cost."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import asyncpg
import msgspec
import nats
import psutil
from nats.js.api import StreamConfig
from process import HERE

from busway.engine.sqlite.database import connect
from busway.settings import Settings

sys.path.append(str(HERE.parent / "tests"))
from nats_cluster import NatsCluster, nats_cluster
from postgres_server import PostgresServer, postgres_server


class Place(msgspec.Struct, frozen=True):
    """One installation of Busway."""

    engine: str = ""
    ledger: str = ""
    data: str = ""

    @property
    def options(self) -> tuple[str, ...]:
        """What a command is given to work on it."""
        given = {"--engine": self.engine, "--ledger": self.ledger, "--data": self.data}
        return tuple(word for pair in given.items() if pair[1] for word in pair)

    def settings(self, partitions: int) -> Settings:
        found = Settings(engine=self.engine, ledger=self.ledger, port=0, partitions=partitions)
        return msgspec.structs.replace(found, data=Path(self.data)) if self.data else found


class Engine(Protocol):
    """Servers, and what is to be known of them."""

    title: str
    least: int
    """How many events a second of 1,000-event requests are asked for; 0 where it is a ratio."""

    def fresh(self) -> Place:
        """Make room for a new installation."""
        ...

    def pids(self) -> list[int]:
        """Return the first process of each server; the others of it are their children."""
        ...

    async def bare(self, bodies: Sequence[bytes]) -> None:
        """Store bodies as they are, one by one, each durable before the next: the floor."""
        ...


class Embedded:
    """A data directory."""

    title = "SQLite"
    least = 0

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = itertools.count(1)

    def fresh(self) -> Place:
        return Place(data=str(self._folder / f"data{next(self._numbers)}"))

    def pids(self) -> list[int]:
        return []

    async def bare(self, bodies: Sequence[bytes]) -> None:
        path = self._folder / f"floor{next(self._numbers)}.db"
        with contextlib.closing(connect(path, page_bytes=4096)) as connection:
            connection.pragma("wal_autocheckpoint", 1000)
            connection.execute("CREATE TABLE blob (id INTEGER PRIMARY KEY, bytes BLOB)")
            for body in bodies:
                connection.execute("INSERT INTO blob (bytes) VALUES (?)", (body,))


class Postgres:
    """Log and ledger in one PostgreSQL."""

    title = "PostgreSQL"
    least = 100_000

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self._numbers = itertools.count(1)

    def fresh(self) -> Place:
        return Place(engine=new_database(self._server, f"bench{next(self._numbers)}"))

    def pids(self) -> list[int]:
        return [self._server.pid]

    async def bare(self, bodies: Sequence[bytes]) -> None:
        connection = await asyncpg.connect(self._server.dsn)
        try:
            await connection.execute("DROP TABLE IF EXISTS blob")
            await connection.execute("CREATE TABLE blob (id bigserial PRIMARY KEY, bytes bytea)")
            await connection.execute("ALTER TABLE blob ALTER bytes SET STORAGE EXTERNAL")
            for body in bodies:
                await connection.execute("INSERT INTO blob (bytes) VALUES ($1)", body)
        finally:
            await connection.close()


class JetStream:
    """The log in JetStream on three servers that sync always, the ledger in PostgreSQL."""

    title = "JetStream"
    least = 200_000

    def __init__(self, cluster: NatsCluster, server: PostgresServer) -> None:
        self._cluster = cluster
        self._server = server
        self._numbers = itertools.count(1)

    def fresh(self) -> Place:
        name = f"bench{next(self._numbers)}"
        return Place(self._cluster.address(name), new_database(self._server, name))

    def pids(self) -> list[int]:
        return [self._server.pid, *(node.pid for node in self._cluster.nodes)]

    async def bare(self, bodies: Sequence[bytes]) -> None:
        client = await nats.connect(f"nats://{self._cluster.servers.split(',')[0]}")
        try:
            name = f"floor{next(self._numbers)}"
            stream = client.jetstream(timeout=10)
            await stream.add_stream(StreamConfig(name=name, subjects=[name], num_replicas=3))
            for body in bodies:
                await stream.publish(name, body)
            await stream.delete_stream(name)
        finally:
            await client.close()


def new_database(server: PostgresServer, name: str) -> str:
    """Make a database and return its address."""
    with ThreadPoolExecutor(1) as pool:  # the caller may have a loop of its own
        pool.submit(asyncio.run, _create(server.dsn, name)).result()
    return server.dsn.rpartition("/")[0] + f"/{name}"


async def _create(dsn: str, name: str) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()


@contextlib.contextmanager
def embedded() -> Iterator[Engine]:
    with tempfile.TemporaryDirectory() as folder:
        yield Embedded(Path(folder))


@contextlib.contextmanager
def postgres() -> Iterator[Engine]:
    with postgres_server() as server:
        yield Postgres(server)


@contextlib.contextmanager
def jetstream() -> Iterator[Engine]:
    with postgres_server() as server, nats_cluster(3) as cluster:
        yield JetStream(cluster, server)


ENGINES = {"sqlite": embedded, "postgres": postgres, "jetstream": jetstream}


def chosen() -> str:
    """Return the engine that ``ENGINE`` names; from now on SIGTERM ends the servers as well."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    name = os.environ.get("ENGINE") or "sqlite"
    if name not in ENGINES:
        sys.exit(f"ENGINE is {name!r}; give one of {', '.join(ENGINES)}")
    return name


def busy_s(pids: Sequence[int]) -> float:
    """Return the processor time that processes have taken, those that they started included."""
    return sum(_spent(psutil.Process(pid)) for pid in pids)


def _spent(process: psutil.Process) -> float:
    times = process.cpu_times()
    spent = times.user + times.system + times.children_user + times.children_system
    for child in process.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            spent += sum(child.cpu_times()[:2])
    return spent
