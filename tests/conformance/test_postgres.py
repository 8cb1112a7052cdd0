"""PostgreSQL keeps what the suites ask for, on a real server."""

from __future__ import annotations

from pathlib import Path

import pytest

from busway.engine.postgres import PostgresLedger, PostgresLog
from busway.engine.postgres.database import Database
from busway.engine.postgres.schema import migrate
from busway.ports import Ledger, Log
from busway.testing.ledger_suite import DurableLedgerSuite
from busway.testing.log_suite import DurableLogSuite, FullLogSuite
from postgres_server import PostgresServer


class OwnedLog(PostgresLog):
    """A log that closes its database."""

    async def close(self) -> None:
        await super().close()
        await self._database.close()


class OwnedLedger(PostgresLedger):
    """A ledger that closes its database."""

    async def close(self) -> None:
        await super().close()
        await self._database.close()


async def opened(server: PostgresServer, place: Path, partitions: int) -> tuple[Database, str]:
    """Open a schema of its own for each place."""
    schema = f"busway_{abs(hash(place))}"
    identity = await migrate(server.dsn, schema, partitions)
    return await Database.open(server.dsn, schema), identity


class TestPostgresLog(DurableLogSuite, FullLogSuite):
    @pytest.fixture(autouse=True)
    def on(self, server: PostgresServer) -> None:
        self.server = server

    async def open_log(self, place: Path, partitions: int) -> Log:
        database, identity = await opened(self.server, place, partitions)
        return await OwnedLog.open(database, identity)

    async def open_small_log(self, place: Path, max_bytes: int) -> Log:
        database, identity = await opened(self.server, place, 1)
        return await OwnedLog.open(database, identity, max_bytes)


class TestPostgresLedger(DurableLedgerSuite):
    @pytest.fixture(autouse=True)
    def on(self, server: PostgresServer) -> None:
        self.server = server

    async def open_ledger(self, place: Path) -> Ledger:
        database, _ = await opened(self.server, place, 1)
        return OwnedLedger(database)
