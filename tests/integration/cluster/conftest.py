"""A PostgreSQL server, with a database of its own for each test, and what runs on them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from busway.settings import Settings
from cluster_process import Cluster
from nats_cluster import NatsCluster, nats_cluster
from postgres_server import PostgresServer
from shop_flows import PRINTED


@pytest.fixture
async def engine(server: PostgresServer) -> str:
    return await server.fresh_database()


@pytest.fixture(scope="module")
def nats() -> Iterator[NatsCluster]:
    with nats_cluster() as found:
        yield found


@pytest.fixture(params=["postgresql", "jetstream"])
def settings(request: pytest.FixtureRequest, engine: str) -> Settings:
    """An empty place: a database, or a stream and the ledger's database."""
    if request.param == "postgresql":
        return Settings(engine=engine)
    cluster: NatsCluster = request.getfixturevalue("nats")
    return Settings(engine=cluster.address(engine.rpartition("/")[2]), ledger=engine)


@pytest.fixture
def cluster(tmp_path: Path, engine: str) -> Cluster:
    """An installation whose flow, in ``shop.py``, prints each order."""
    (tmp_path / "shop.py").write_text(PRINTED)
    return Cluster(engine, tmp_path)
