"""A PostgreSQL server, with a database of its own for each test."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import asyncpg
import pytest

from postgres_server import PostgresServer, postgres_server


@pytest.fixture(scope="session")
def server() -> Iterator[PostgresServer]:
    with postgres_server() as found:
        yield found


@pytest.fixture
async def engine(server: PostgresServer) -> str:
    name = f"t{uuid.uuid4().hex}"
    connection = await asyncpg.connect(server.dsn)
    try:
        await connection.execute(f"CREATE DATABASE {name}")
    finally:
        await connection.close()
    return f"postgresql://postgres@127.0.0.1:{server.port}/{name}"
