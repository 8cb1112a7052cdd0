"""What holds for all tests: no property is timed, and what they start ends with them."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from effort import examples

if TYPE_CHECKING:
    from postgres_server import PostgresServer

pytest_plugins = ["watchdog"]

# the machine may be busy
settings.register_profile(
    "untimed",
    deadline=None,
    max_examples=examples(100),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("untimed")

# what a shell starts in its background ignores SIGINT, and so would all that it starts
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

STARTED_BY = {"postgres": "postgres_server", "nats": "nats_cluster"}
"""The function that starts a server, by the name of the fixture and of the mark."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a server, so that the rest can be run without it, or it without the rest."""
    for item in items:
        for server, function in STARTED_BY.items():
            is_given = server in getattr(item, "fixturenames", ())
            if is_given or hasattr(getattr(item, "module", None), function):
                item.add_marker(server)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One PostgreSQL server for all tests of a process."""
    from postgres_server import postgres_server

    with postgres_server() as server:
        yield server


@pytest.fixture(scope="module")
def server(postgres: PostgresServer) -> Iterator[PostgresServer]:
    """That server for a module, with a database of its own."""
    with postgres.for_a_module() as lent:
        yield lent
