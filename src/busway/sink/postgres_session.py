"""Connections to a PostgreSQL server, kept open between loads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from busway.patience import Patience
from busway.sink.postgres_error import EXPECTED, Severed, first_cause, is_lost
from busway.sink.statement import quoted, statement

CONNECT_S = 10.0
LATE_S = 5.0
"""How much later a server is given up that does not end a statement which takes too long."""
_ENCODING = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What the driver raises for a value in a COPY; for an argument it raises a DataError itself."""


class Session:
    """A connection, and the staging table that it has."""

    def __init__(self, connection: asyncpg.Connection[asyncpg.Record], timeout_s: float) -> None:
        self.connection = connection
        self.timeout_s = timeout_s
        self.version = 0
        """The version of its table before what was written last."""
        self.staging: str | None = None
        self._staged_for = -1
        self._made = 0
        self._filled = False

    async def stage(self, table: str, version: int) -> None:
        """Have a staging table for a table as it looks in a version; called in a transaction."""
        if self._staged_for == version:
            return
        if self.staging:
            await self._execute("staging_drop")
        self._made += 1
        self.staging = f"busway_staging_{self._made}"
        self._staged_for = version
        await self._execute("staging_create", table=table)

    async def copy(self, columns: list[str], rows: list[tuple[object, ...]]) -> None:
        """Fill the staging table, so that these rows are all that is in it.

        Raises :class:`asyncpg.DataError` for a value that its column cannot hold.
        """
        if self._filled:
            await self._execute("staging_clear")
        self._filled = True
        try:
            await self.connection.copy_records_to_table(
                self.staging or "", schema_name="pg_temp", columns=columns, records=rows
            )
        except _ENCODING as error:
            raise asyncpg.DataError(f"{type(error).__name__}: {error}") from error

    def committed(self) -> None:
        """A commit empties the staging table."""
        self._filled = False

    def undone(self) -> None:
        """A rollback may have taken the staging table with it."""
        self._staged_for = -1
        self._filled = False

    async def _execute(self, name: str, **parts: str) -> None:
        sql = statement("postgres", name).format(staging=quoted(self.staging or ""), **parts)
        await self.connection.execute(sql)


class Sessions:
    """At most ``limit`` connections, opened when they are needed."""

    def __init__(self, dsn: str, limit: int, timeout_s: float) -> None:
        self._dsn = dsn
        self._timeout_s = timeout_s
        self._slots = asyncio.Semaphore(limit)
        self._idle: list[Session] = []
        self._patience = Patience(self._connect, EXPECTED)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Session]:
        """Lend a session inside a transaction, committed at the end and undone by an error.

        Raises :class:`Severed` when its connection is lost under way.
        """
        async with self._slots:
            session = await self._take()
            begun = False
            try:
                with self._patience.watching():
                    async with session.connection.transaction(isolation="read_committed"):
                        begun = True
                        yield session
            except BaseException as error:
                session.undone()
                self._keep(session)
                cause = first_cause(error)
                if begun and is_lost(cause) and not isinstance(cause, TimeoutError):
                    raise Severed(str(cause)) from cause
                raise
            session.committed()
            self._keep(session)

    async def close(self) -> None:
        await self._patience.close()
        idle, self._idle = self._idle, []
        for session in idle:
            try:
                await session.connection.close(timeout=5)
            except EXPECTED:
                session.connection.terminate()

    async def _take(self) -> Session:
        while self._idle:
            session = self._idle.pop()
            if not session.connection.is_closed():
                return session
        return Session(await self._connect(), self._timeout_s)

    async def _connect(self) -> asyncpg.Connection[asyncpg.Record]:
        connection = await asyncpg.connect(
            self._dsn, timeout=CONNECT_S, command_timeout=self._timeout_s + LATE_S
        )
        limit_ms = int(self._timeout_s * 1000)
        await connection.execute(
            f"SET application_name = 'busway'; SET statement_timeout = {limit_ms};"
            f" SET idle_in_transaction_session_timeout = {limit_ms}"
        )
        return connection

    def _keep(self, session: Session) -> None:
        connection = session.connection
        if not connection.is_closed() and not connection.is_in_transaction():
            self._idle.append(session)
        elif not connection.is_closed():
            connection.terminate()
