"""A NATS server for the tests of a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from nats_cluster import NatsCluster, nats_cluster


@pytest.fixture(scope="module")
def nats() -> Iterator[NatsCluster]:
    with nats_cluster() as found:
        yield found
