"""A server, or a user, that has too few connections for Busway is told with what to do."""

from __future__ import annotations

import asyncio
import re

import asyncpg
import pytest

from busway.engine.postgres.database import Database
from busway.engine.postgres.schema import SCHEMA
from busway.errors import StoreError
from postgres_server import PostgresServer


async def test_too_few_connections_are_reported_with_the_remedy(server: PostgresServer) -> None:
    await _run(server.dsn, "CREATE ROLE few LOGIN CONNECTION LIMIT 1")
    few = await Database.open(re.sub("//[^@/]*@", "//few@", server.dsn), SCHEMA)
    try:
        async with few.connection():
            with pytest.raises(StoreError, match=r'"few"; .* up to 15 .* CONNECTION LIMIT') as told:
                await few.fetch_sql("SELECT 1")
        assert type(told.value) is StoreError, "it may pass"
    finally:
        await few.close()
        await _run(server.dsn, "DROP ROLE few")


async def test_a_busy_pool_is_reported_and_keeps_its_connections(
    server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = await Database.open(server.dsn, SCHEMA, max_connections=1)
    try:
        async with database.connection() as connection:
            pid = connection.get_server_pid()
            with monkeypatch.context() as impatient:
                impatient.setattr("busway.engine.postgres.database.CONNECT_TIMEOUT_S", 0.5)
                said = r": 1 connections were busy for 0\.5 seconds"
                with pytest.raises(StoreError, match=said):
                    await database.fetch_sql("SELECT 1")
        assert await database.fetch_sql("SELECT pg_backend_pid()") == [(pid,)]
    finally:
        await database.close()


async def _run(dsn: str, statement: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        async with asyncio.timeout(30.0):
            await connection.execute(statement)
    finally:
        await connection.close()
