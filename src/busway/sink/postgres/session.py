"""Connections to a PostgreSQL server, kept open between loads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from busway.driver.postgres.error import DRIVER_ERRORS, is_connection_lost, root_cause
from busway.driver.postgres.lock_watchdog import LockWatchdog
from busway.driver.postgres.session import (
    APPLICATION_NAME,
    CONNECT_TIMEOUT_S,
    Session,
    close_gracefully,
)
from busway.sink.postgres.error import OWN_ERRORS, ConnectionLost
from busway.sink.statement import quote_identifier, statement

_CLOSE_TIMEOUT_S = 5.0
STATEMENT_GRACE_S = 5.0
"""How much later a server is given up that does not end a statement which takes too long."""
_ENCODING_ERRORS = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What the driver raises for a value in a COPY; for an argument it raises a DataError itself."""


class PostgresSession:
    """A connection, and the staging table that it has."""

    def __init__(self, connection: Session, timeout_s: float) -> None:
        self.connection = connection
        self.timeout_s = timeout_s
        self.table_version = 0
        """The version of its table before what was written last."""
        self.staging: str | None = None
        self._staging_version = -1
        self._staging_count = 0
        self._staging_filled = False

    async def stage(self, table: str, version: int) -> None:
        """Have a staging table for a table as it looks in a version; called in a transaction."""
        if self._staging_version == version:
            return
        if self.staging:
            await self._execute("staging_drop")
        self._staging_count += 1
        self.staging = f"busway_staging_{self._staging_count}"
        self._staging_version = version
        await self._execute("staging_create", table=table)

    async def copy(self, columns: list[str], rows: list[tuple[object, ...]]) -> None:
        """Fill the staging table, so that these rows are all that is in it.

        Raises :class:`asyncpg.DataError` for a value that its column cannot hold.
        """
        if self._staging_filled:
            await self._execute("staging_clear")
        self._staging_filled = True
        try:
            await self.connection.copy_records_to_table(
                self.staging or "", schema_name="pg_temp", columns=columns, records=rows
            )
        except _ENCODING_ERRORS as error:
            raise asyncpg.DataError(f"{type(error).__name__}: {error}") from error

    def committed(self) -> None:
        """A commit empties the staging table."""
        self._staging_filled = False

    def rolled_back(self) -> None:
        """A rollback may have taken the staging table with it."""
        self._staging_version = -1
        self._staging_filled = False

    async def _execute(self, name: str, **parts: str) -> None:
        sql = statement("postgres", name).format(
            staging=quote_identifier(self.staging or ""), **parts
        )
        await self.connection.execute(sql)


class PostgresSessionPool:
    """At most ``max_connections`` connections, opened when they are needed."""

    def __init__(self, dsn: str, max_connections: int, timeout_s: float) -> None:
        self._dsn = dsn
        self._timeout_s = timeout_s
        self._connections = asyncio.Semaphore(max_connections)
        self._idle: list[PostgresSession] = []
        self._blocker_watchdog = LockWatchdog(self._connect, DRIVER_ERRORS)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[PostgresSession]:
        """Lend a session inside a transaction, committed at the end and undone by an error.

        Raises :class:`ConnectionLost` when its connection is lost under way.
        """
        async with self._connections:
            session = await self._acquire()
            begun = False
            try:
                with self._blocker_watchdog.watching():
                    async with session.connection.transaction(isolation="read_committed"):
                        begun = True
                        yield session
            except BaseException as error:
                session.rolled_back()
                if begun:
                    self._release(session)
                else:  # it may begin yet, and the driver would take the next one for a part of it
                    session.connection.terminate()
                cause = root_cause(error, OWN_ERRORS)
                if begun and is_connection_lost(cause) and not isinstance(cause, TimeoutError):
                    raise ConnectionLost(str(cause)) from cause
                raise
            session.committed()
            self._release(session)

    async def close(self) -> None:
        await self._blocker_watchdog.close()
        idle, self._idle = self._idle, []
        for session in idle:
            await close_gracefully(session.connection, _CLOSE_TIMEOUT_S)

    async def _acquire(self) -> PostgresSession:
        while self._idle:
            session = self._idle.pop()
            if not session.connection.is_closed():
                return session
        return PostgresSession(await self._connect(), self._timeout_s)

    async def _connect(self) -> Session:
        connection: Session = await asyncpg.connect(
            self._dsn,
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=self._timeout_s + STATEMENT_GRACE_S,
        )
        limit_ms = int(self._timeout_s * 1000)
        await connection.execute(
            f"SET application_name = '{APPLICATION_NAME}'; SET statement_timeout = {limit_ms};"
            f" SET idle_in_transaction_session_timeout = {limit_ms}"
        )
        return connection

    def _release(self, session: PostgresSession) -> None:
        connection = session.connection
        if not connection.is_closed() and not connection.is_in_transaction():
            self._idle.append(session)
        elif not connection.is_closed():
            connection.terminate()
