"""A pool of connections to PostgreSQL, and what its errors mean for a store."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Self, cast

import asyncpg

from busway.driver.postgres.address import PostgresAddress
from busway.driver.postgres.connector import (
    CONNECT_TIMEOUT_S,
    Connector,
    Session,
    session_settings,
)
from busway.driver.postgres.lock_watchdog import LockWatchdog
from busway.driver.postgres.timeout import (
    CONNECTION_LOST_ERRORS,
    QUICK_TIMEOUT_S,
    terminate_after,
)
from busway.engine.postgres.generation import Generation
from busway.errors import StoreError, StoreFull, StoreMisconfigured, StoreTooNew

STATEMENT_TIMEOUT_S = 60.0
"""How long a statement, or a transaction, may take."""
CLOSE_TIMEOUT_S = 10.0
WORK_CONNECTIONS = 9
CONTROL_CONNECTIONS = 3
"""For what must not wait behind the work: beats and leases."""
MAX_CONNECTIONS = WORK_CONNECTIONS + CONTROL_CONNECTIONS + 3
"""Of a process: one that listens as well, and where much is late, a look of each of the pools."""
_DISK_FULL_STATES = ("53100", "53200")
_READ_ONLY_STATE = "25006"
_SCHEMA_MISMATCH_STATES = ("42P01", "42703", "42883", "42P10", "23502")
"""A table, a column, a function or a constraint is missing, or a column is not given."""
_ACCOUNT_REMEDY = (
    "look at the user and the password in the address, and at pg_hba.conf of the server"
)
_HOME_REMEDY = "the driver looks there for certificates: set HOME to a directory that may be read"
_REMEDIES = {
    "28000": _ACCOUNT_REMEDY,
    "28P01": _ACCOUNT_REMEDY,
    "3D000": "make it first (CREATE DATABASE), or give the address of another one",
    "42501": (
        "the user must be allowed to make a schema (GRANT CREATE ON DATABASE … TO …), and to use"
        " what is in the schema busway when it is there already (GRANT the owner of it TO …)"
    ),
}
"""What a person can do about what does not pass by itself."""
NO_POOLER_HINT = "give the address of PostgreSQL itself, not of a pooler (PgBouncer)"
_TRANSIENT_REMEDIES = {
    "08P01": f"; {NO_POOLER_HINT}",
    "53300": (
        f"; Busway uses up to {MAX_CONNECTIONS} connections for each process:"
        " raise the CONNECTION LIMIT of the user or the database, or max_connections of the server"
    ),
}
"""What a person can do about what may pass."""
_NOT_WRITABLE = asyncpg.TargetServerAttributeNotMatched
DRIVER_ERRORS = (
    asyncpg.PostgresError,
    *CONNECTION_LOST_ERRORS,
    _NOT_WRITABLE,
    TimeoutError,
    ssl.SSLError,
)

Row = tuple[Any, ...]
if TYPE_CHECKING:
    Connection = asyncpg.pool.PoolConnectionProxy[asyncpg.Record]
    Pool = asyncpg.Pool[asyncpg.Record]
else:
    Connection = Pool = object


@cache
def sql(name: str) -> str:
    """Return the statement of ``sql/<name>.sql``."""
    return (files(__package__) / "sql" / f"{name}.sql").read_text("utf-8").rstrip().rstrip(";")


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
        """Make a pool; ``synchronous_commit`` is the ``synchronous_commit`` of its sessions.

        ``timeout_hint`` goes with the error where a statement takes too long: what it may wait for.
        """
        way = Connector(PostgresAddress.parse(url))
        era = Generation(way.address.label)
        pool = await asyncpg.create_pool(
            connect=way.connect,
            min_size=0,
            max_size=max_connections,
            timeout=CONNECT_TIMEOUT_S,
            init=_record_timeline_of(era),
            reset=_skip_reset,
            server_settings={**session_settings(schema), "synchronous_commit": synchronous_commit},
        )
        return cls(way, pool, era, timeout_hint)

    async def fetch(self, name: str, *values: object) -> list[Row]:
        """Run the statement of ``sql/<name>.sql``, a transaction by itself, and return its rows."""
        return await self.fetch_sql(sql(name), *values)

    async def fetch_quickly(self, name: str, *values: object) -> list[Row]:
        """Run a statement as :meth:`fetch` does, one that others wait for."""
        async with self.connection(QUICK_TIMEOUT_S) as connection:
            return await fetch(connection, name, *values)

    async def fetch_sql(self, statement: str, *values: object) -> list[Row]:
        """Run a statement and return its rows."""
        async with self.connection() as connection:
            return cast("list[Row]", await connection.fetch(statement, *values))

    @contextlib.asynccontextmanager
    async def connection(self, timeout_s: float = STATEMENT_TIMEOUT_S) -> AsyncIterator[Connection]:
        """Lend a connection, which is hung up when it is not given back in time.

        Refused where another server has taken over since it was asked for: who asks for more must
        not write what it made of events that may be lost.
        """
        era = self.generation.number
        with translating_errors(self.label):
            try:
                async with self._acquired() as connection:
                    self.generation.check_unchanged(era)
                    with (
                        terminate_after(timeout_s, connection, self._timeout_hint),
                        self._lock_watchdog.watching(),
                    ):
                        yield connection
            except (asyncpg.ReadOnlySQLTransactionError, *CONNECTION_LOST_ERRORS):
                # after a failover the others of the pool are connected to a standby as well
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
                f" {CONNECT_TIMEOUT_S:g} seconds, all that this may use"
            ) from error
        try:
            yield connection
        finally:
            await self._pool.release(connection)

    @contextlib.asynccontextmanager
    async def transaction(
        self, timeout_s: float = STATEMENT_TIMEOUT_S
    ) -> AsyncIterator[Connection]:
        """Lend a connection inside a transaction, committed at the end, undone by an error."""
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
    """Run the statement of ``sql/<name>.sql`` on a connection and return its rows."""
    return cast("list[Row]", await connection.fetch(sql(name), *values))


async def execute_many(connection: Connection, name: str, rows: Sequence[Row]) -> None:
    """Run the statement of ``sql/<name>.sql`` for each row of values."""
    await connection.executemany(sql(name), rows)


def _record_timeline_of(generation: Generation) -> Callable[[Session], Coroutine[Any, Any, None]]:
    async def note(session: Session) -> None:
        # a standby has no timeline to tell yet, nor have some services: that changes nothing
        with contextlib.suppress(asyncpg.PostgresError):
            ((timeline,),) = await fetch(session, "timeline")
            generation.observe_timeline(timeline)

    return note


async def _skip_reset(connection: object) -> None:
    """Leave a connection that is given back as it is: nothing here outlives its transaction, and
    the driver's clearing up would be a second round trip for each statement."""


@contextlib.contextmanager
def translating_errors(label: str) -> Iterator[None]:
    """Raise an error of PostgreSQL, or of the way to it, as what it means for a store."""
    try:
        yield
    except DRIVER_ERRORS as error:
        raise to_store_error(error, label) from error


def to_store_error(error: BaseException, label: str) -> StoreError:
    """Return what an error means; all of them may pass but :class:`StoreMisconfigured`.

    Nothing was stored, but where the connection was lost or given up: then that is not known.
    """
    error = _root_cause(error)
    code = str(getattr(error, "sqlstate", None) or "")
    if code in _DISK_FULL_STATES:
        return StoreFull(f"{label}: {error}; make room on the server")
    if code == _READ_ONLY_STATE or isinstance(error, _NOT_WRITABLE):
        return read_only_error(label)
    remedy = _HOME_REMEDY if isinstance(error, OSError) and error.filename else _REMEDIES.get(code)
    if remedy is not None:
        return StoreMisconfigured(f"{label}: {error}; {remedy}")
    if code in _SCHEMA_MISMATCH_STATES:
        return StoreTooNew(
            f"{label}: {error}: the tables are of another version than this Busway; run the newest"
        )
    advice = _TRANSIENT_REMEDIES.get(code, "")
    if isinstance(error, asyncpg.PostgresError) and not isinstance(
        error, asyncpg.PostgresConnectionError
    ):
        return StoreError(f"{label}: {error}{advice}")
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return StoreError(f"{label} cannot be used now: {text}{advice}")


def _root_cause(error: BaseException) -> BaseException:
    """Return why a connection was lost where the driver only says that it cannot end on it."""
    while isinstance(error, asyncpg.InterfaceError) and isinstance(
        error.__context__, DRIVER_ERRORS
    ):
        error = error.__context__
    return error


def read_only_error(label: str) -> StoreError:
    """Return what it means that a server takes no writes; a failover may end that."""
    return StoreError(
        f"{label} is read-only; point Busway at the primary, or, where this is it, set"
        " default_transaction_read_only to off"
    )
