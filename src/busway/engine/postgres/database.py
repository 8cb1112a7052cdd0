"""A pool of connections to PostgreSQL."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Self, cast

import asyncpg

from busway.driver.postgres.address import PostgresAddress
from busway.driver.postgres.connector import Connector, session_settings
from busway.driver.postgres.error import CONNECTION_LOST_ERRORS, DRIVER_ERRORS
from busway.driver.postgres.lock_watchdog import LockWatchdog
from busway.driver.postgres.session import CONNECT_TIMEOUT_S, Session
from busway.driver.postgres.timeout import QUICK_TIMEOUT_S, terminate_after
from busway.driver.statement import load_statement
from busway.engine.postgres.connection_limit import WORK_CONNECTIONS
from busway.engine.postgres.error import translating_errors
from busway.engine.postgres.generation import Generation
from busway.errors import StoreError

STATEMENT_TIMEOUT_S = 60.0
"""How long a statement, or a transaction, may take."""
CLOSE_TIMEOUT_S = 10.0

Row = tuple[Any, ...]
if TYPE_CHECKING:
    Connection = asyncpg.pool.PoolConnectionProxy[asyncpg.Record]
    Pool = asyncpg.Pool[asyncpg.Record]
else:
    Connection = Pool = object


def sql(name: str) -> str:
    """Return the statement in ``sql/<name>.sql``."""
    return load_statement(__package__, name)


class Database:
    """Runs statements; each call takes a connection from the pool for as long as it needs one."""

    def __init__(
        self, connector: Connector, pool: Pool, generation: Generation, timeout_hint: str = ""
    ) -> None:
        self.connector = connector
        self.label = connector.address.label
        self._pool = pool
        self._timeout_hint = timeout_hint
        self.generation = generation
        self._lock_watchdog = LockWatchdog(connector.connect, DRIVER_ERRORS)

    @classmethod
    async def open(
        cls,
        url: str,
        schema: str,
        synchronous_commit: str = "on",
        max_connections: int = WORK_CONNECTIONS,
        timeout_hint: str = "",
    ) -> Self:
        """Create a pool whose sessions have this ``synchronous_commit``.

        ``timeout_hint`` is added to the error if a statement takes too long: what it may wait for.
        """
        connector = Connector(PostgresAddress.parse(url))
        generation = Generation(connector.address.label)
        pool = await asyncpg.create_pool(
            connect=connector.connect,
            min_size=0,
            max_size=max_connections,
            timeout=CONNECT_TIMEOUT_S,
            init=_record_timeline_of(generation),
            reset=_skip_reset,
            server_settings={**session_settings(schema), "synchronous_commit": synchronous_commit},
        )
        return cls(connector, pool, generation, timeout_hint)

    async def fetch(self, name: str, *values: object) -> list[Row]:
        """Run the statement in ``sql/<name>.sql`` in its own transaction and return its rows."""
        return await self.fetch_sql(sql(name), *values)

    async def fetch_quickly(self, name: str, *values: object) -> list[Row]:
        """Run a statement that others wait for, as :meth:`fetch` does but with a short timeout."""
        async with self.connection(QUICK_TIMEOUT_S) as connection:
            return await fetch(connection, name, *values)

    async def fetch_sql(self, statement: str, *values: object) -> list[Row]:
        """Run a statement and return its rows."""
        async with self.connection() as connection:
            return cast("list[Row]", await connection.fetch(statement, *values))

    @contextlib.asynccontextmanager
    async def connection(self, timeout_s: float = STATEMENT_TIMEOUT_S) -> AsyncIterator[Connection]:
        """Lend a connection, which is terminated if it is not returned in time.

        Raises :class:`StoreError` if another server has taken over since the call: the caller must
        not write results of events that may be lost.
        """
        generation = self.generation.number
        with translating_errors(self.label):
            try:
                async with self._acquired() as connection:
                    self.generation.check_unchanged(generation)
                    with (
                        terminate_after(timeout_s, connection, self._timeout_hint),
                        self._lock_watchdog.watching(),
                    ):
                        yield connection
            except (asyncpg.ReadOnlySQLTransactionError, *CONNECTION_LOST_ERRORS):
                # after a failover the other connections of the pool lead to a standby as well
                await self._pool.expire_connections()
                raise

    @contextlib.asynccontextmanager
    async def _acquired(self) -> AsyncIterator[Connection]:
        try:
            connection = await self._pool.acquire(timeout=CONNECT_TIMEOUT_S)
        except TimeoutError as error:
            if self._pool.get_size() < self._pool.get_max_size():
                raise
            raise StoreError(
                f"{self.label}: {self._pool.get_max_size()} connections were busy for"
                f" {CONNECT_TIMEOUT_S:g} seconds, and the pool has no more"
            ) from error
        try:
            yield connection
        finally:
            await self._pool.release(connection)

    @contextlib.asynccontextmanager
    async def transaction(
        self, timeout_s: float = STATEMENT_TIMEOUT_S
    ) -> AsyncIterator[Connection]:
        """Lend a connection inside a transaction, committed at the end, rolled back on an error."""
        async with self.connection(timeout_s) as connection, connection.transaction():
            yield connection

    async def close(self) -> None:
        await self._lock_watchdog.close()
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._pool.close()
        except DRIVER_ERRORS:
            self._pool.terminate()


async def fetch(connection: Connection | Session, name: str, *values: object) -> list[Row]:
    """Run the statement in ``sql/<name>.sql`` on a connection and return its rows."""
    return cast("list[Row]", await connection.fetch(sql(name), *values))


async def execute_many(connection: Connection, name: str, rows: Sequence[Row]) -> None:
    """Run the statement in ``sql/<name>.sql`` for each row of values."""
    await connection.executemany(sql(name), rows)


def _record_timeline_of(generation: Generation) -> Callable[[Session], Coroutine[Any, Any, None]]:
    async def record(session: Session) -> None:
        # a standby and some services do not report a timeline: then nothing changes
        with contextlib.suppress(asyncpg.PostgresError):
            ((timeline,),) = await fetch(session, "timeline")
            generation.observe_timeline(timeline)

    return record


async def _skip_reset(connection: object) -> None:
    """Do not reset a returned connection.

    Nothing outlives a transaction here, and asyncpg's reset would be a second round trip for each
    statement.
    """
