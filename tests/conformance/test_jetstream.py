"""JetStream keeps what the suites ask for, on one server and on a cluster of three."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from busway.engine.jetstream import JetStreamAddress, JetStreamLog
from busway.ports import Log
from busway.testing.log_suite import DurableLogSuite, FullLogSuite
from nats_cluster import NatsCluster, nats_cluster


@pytest.fixture(scope="module")
def server() -> Iterator[NatsCluster]:
    with nats_cluster() as found:
        yield found


@pytest.fixture(scope="module")
def cluster() -> Iterator[NatsCluster]:
    with nats_cluster(3) as found:
        yield found


class JetStreamSuite(DurableLogSuite, FullLogSuite):
    """A stream of its own for each place."""

    nats: NatsCluster

    async def open_log(self, place: Path, partitions: int) -> Log:
        return await JetStreamLog.open(self._place(place), partitions)

    async def open_small_log(self, place: Path, max_bytes: int) -> Log:
        return await JetStreamLog.open(self._place(place, compress="false"), 1, max_bytes)

    def _place(self, place: Path, **options: str) -> JetStreamAddress:
        return JetStreamAddress.parse(self.nats.address(f"log{abs(hash(place))}", **options))


class TestJetStreamLog(JetStreamSuite):
    @pytest.fixture(autouse=True)
    def on(self, server: NatsCluster) -> None:
        self.nats = server


class TestJetStreamLogOnThreeServers(JetStreamSuite):
    @pytest.fixture(autouse=True)
    def on(self, cluster: NatsCluster) -> None:
        self.nats = cluster
