"""A PostgreSQL server, with a database of its own for each test, and what runs on them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster_process import Cluster
from nats_cluster import NatsCluster, nats_cluster
from postgres_server import PostgresServer, postgres_server
from shop_flows import PRINTED


@pytest.fixture(scope="session")
def server() -> Iterator[PostgresServer]:
    with postgres_server() as found:
        yield found


@pytest.fixture
async def engine(server: PostgresServer) -> str:
    return await server.fresh_database()


@pytest.fixture(scope="module")
def nats() -> Iterator[NatsCluster]:
    with nats_cluster() as found:
        yield found


@pytest.fixture
def cluster(tmp_path: Path, engine: str) -> Cluster:
    """An installation whose flow, in ``shop.py``, prints each order."""
    (tmp_path / "shop.py").write_text(PRINTED)
    return Cluster(engine, tmp_path)
