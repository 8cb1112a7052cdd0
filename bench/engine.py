"""The engines to measure: real servers, new installations on them, and what they cost."""

from __future__ import annotations

import contextlib
import itertools
import sys
from collections.abc import Iterator
from typing import Protocol

import asyncpg
import psutil
from process import HERE

sys.path.append(str(HERE.parent / "tests"))
from nats_cluster import NatsCluster, nats_cluster
from postgres_server import PostgresServer, postgres_server

Options = tuple[str, ...]
"""What ``busway run`` and others are given to work on one installation."""


class Engine(Protocol):
    """Servers, and installations of Busway on them."""

    name: str
    database: PostgresServer
    """Where the rows of the pipeline go, and where its own installations are."""

    async def fresh(self) -> Options:
        """Make room for a new installation."""
        ...

    def pids(self) -> list[int]:
        """Return the processes of the servers."""
        ...


class Postgres:
    """Log and ledger in one PostgreSQL."""

    name = "postgres"

    def __init__(self, server: PostgresServer) -> None:
        self.database = server
        self._numbers = itertools.count(1)

    async def fresh(self) -> Options:
        return ("--engine", await new_database(self.database, f"bench{next(self._numbers)}"))

    def pids(self) -> list[int]:
        return postgres_pids(self.database)


class JetStream:
    """The log in JetStream on three servers that sync always, the ledger in PostgreSQL."""

    name = "jetstream"

    def __init__(self, cluster: NatsCluster, server: PostgresServer) -> None:
        self.cluster = cluster
        self.database = server
        self._numbers = itertools.count(1)

    async def fresh(self) -> Options:
        name = f"bench{next(self._numbers)}"
        ledger = await new_database(self.database, name)
        return ("--engine", self.cluster.address(name), "--ledger", ledger)

    def pids(self) -> list[int]:
        return [*(node.pid for node in self.cluster.nodes), *postgres_pids(self.database)]


async def new_database(server: PostgresServer, name: str) -> str:
    """Make a database and return its address."""
    connection = await asyncpg.connect(server.dsn)
    await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()
    return server.dsn.rpartition("/")[0] + f"/{name}"


def postgres_pids(server: PostgresServer) -> list[int]:
    """Return the server's first process: the others are its children."""
    return [server.pid]


@contextlib.contextmanager
def postgres() -> Iterator[Engine]:
    with postgres_server() as server:
        yield Postgres(server)


@contextlib.contextmanager
def jetstream() -> Iterator[Engine]:
    with postgres_server() as server, nats_cluster(3) as cluster:
        yield JetStream(cluster, server)


ENGINES = {"postgres": postgres, "jetstream": jetstream}


def busy_s(pids: list[int]) -> float:
    """Return the processor time that processes have taken, those that they started included."""
    total = 0.0
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            total += _spent(process, ended=True)
            for child in process.children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    total += _spent(child, ended=False)
    return total


def _spent(process: psutil.Process, *, ended: bool) -> float:
    times = process.cpu_times()
    spent = times.user + times.system
    return spent + times.children_user + times.children_system if ended else spent
