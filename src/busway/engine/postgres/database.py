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

from busway.engine.postgres.address import Address
from busway.engine.postgres.era import Era
from busway.engine.postgres.silence import LOST, QUICK_S, hung_up_after
from busway.engine.postgres.way import CONNECT_S, Session, Way, session_settings
from busway.errors import StoreError, StoreFull, StoreTooNew, StoreUnfit
from busway.patience import Patience

STATEMENT_S = 60.0
"""How long a statement, or a transaction, may take."""
CLOSE_S = 10.0
CONNECTIONS = 9
VITAL_CONNECTIONS = 3
"""For what must not wait behind the work: beats and leases."""
MOST_CONNECTIONS = CONNECTIONS + VITAL_CONNECTIONS + 3
"""Of a process: one that listens as well, and where much is late, a look of each of the pools."""
_FULL = ("53100", "53200")
_READ_ONLY = "25006"
_OTHER_TABLES = ("42P01", "42703", "42883", "42P10", "23502")
"""A table, a column, a function or a constraint is missing, or a column is not given."""
_ACCOUNT = "look at the user and the password in the address, and at pg_hba.conf of the server"
_HOME = "the driver looks there for certificates: set HOME to a directory that may be read"
_REMEDIES = {
    "28000": _ACCOUNT,
    "28P01": _ACCOUNT,
    "3D000": "make it first (CREATE DATABASE), or give the address of another one",
    "42501": (
        "the user must be allowed to make a schema (GRANT CREATE ON DATABASE … TO …), and to use"
        " what is in the schema busway when it is there already (GRANT the owner of it TO …)"
    ),
}
"""What a person can do about what does not pass by itself."""
NO_POOLER = "give the address of PostgreSQL itself, not of a pooler (PgBouncer)"
_ADVICE = {
    "08P01": f"; {NO_POOLER}",
    "53300": (
        f"; Busway uses up to {MOST_CONNECTIONS} connections for each process:"
        " raise the CONNECTION LIMIT of the user or the database, or max_connections of the server"
    ),
}
"""What a person can do about what may pass."""
_UNFIT = asyncpg.TargetServerAttributeNotMatched
EXPECTED = (asyncpg.PostgresError, *LOST, _UNFIT, TimeoutError, ssl.SSLError)

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

    def __init__(self, way: Way, pool: Pool, era: Era, hint: str = "") -> None:
        self.way = way
        self.place = way.address.place
        self._pool = pool
        self._hint = hint
        self.era = era
        self._patience = Patience(way.connect, EXPECTED)

    @classmethod
    async def open(
        cls,
        url: str,
        schema: str,
        commit: str = "on",
        connections: int = CONNECTIONS,
        hint: str = "",
    ) -> Self:
        """Make a pool; ``commit`` is the ``synchronous_commit`` of its sessions.

        ``hint`` goes with the error where a statement takes too long: what it may wait for.
        """
        way = Way(Address.of(url))
        era = Era(way.address.place)
        pool = await asyncpg.create_pool(
            connect=way.connect,
            min_size=0,
            max_size=connections,
            timeout=CONNECT_S,
            init=_noting(era),
            reset=_as_it_is,
            server_settings={**session_settings(schema), "synchronous_commit": commit},
        )
        return cls(way, pool, era, hint)

    async def rows(self, name: str, *values: object) -> list[Row]:
        """Run the statement of ``sql/<name>.sql``, a transaction by itself, and return its rows."""
        return await self.query(sql(name), *values)

    async def quick(self, name: str, *values: object) -> list[Row]:
        """Run a statement as :meth:`rows` does, one that others wait for."""
        async with self.connection(QUICK_S) as connection:
            return await fetch(connection, name, *values)

    async def query(self, statement: str, *values: object) -> list[Row]:
        """Run a statement and return its rows."""
        async with self.connection() as connection:
            return cast("list[Row]", await connection.fetch(statement, *values))

    @contextlib.asynccontextmanager
    async def connection(self, within_s: float = STATEMENT_S) -> AsyncIterator[Connection]:
        """Lend a connection, which is hung up when it is not given back in time.

        Refused where another server has taken over since it was asked for: who asks for more must
        not write what it made of events that may be lost.
        """
        era = self.era.number
        with told(self.place):
            try:
                async with self._lent() as connection:
                    self.era.check(era)
                    with hung_up_after(within_s, connection, self._hint), self._patience.watching():
                        yield connection
            except (asyncpg.ReadOnlySQLTransactionError, *LOST):
                # after a failover the others of the pool are connected to a standby as well
                await self._pool.expire_connections()
                raise

    @contextlib.asynccontextmanager
    async def _lent(self) -> AsyncIterator[Connection]:
        try:
            connection = await self._pool.acquire(timeout=CONNECT_S)
        except TimeoutError as error:
            if self._pool.get_size() < self._pool.get_max_size():
                raise
            raise StoreError(
                f"{self.place}: {self._pool.get_max_size()} connections were busy for"
                f" {CONNECT_S:g} seconds, all that this may use"
            ) from error
        try:
            yield connection
        finally:
            await self._pool.release(connection)

    @contextlib.asynccontextmanager
    async def transaction(self, within_s: float = STATEMENT_S) -> AsyncIterator[Connection]:
        """Lend a connection inside a transaction, committed at the end, undone by an error."""
        async with self.connection(within_s) as connection, connection.transaction():
            yield connection

    async def close(self) -> None:
        await self._patience.close()
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._pool.close()
        except EXPECTED:
            self._pool.terminate()


async def fetch(connection: Connection | Session, name: str, *values: object) -> list[Row]:
    """Run the statement of ``sql/<name>.sql`` on a connection and return its rows."""
    return cast("list[Row]", await connection.fetch(sql(name), *values))


async def run_many(connection: Connection, name: str, rows: Sequence[Row]) -> None:
    """Run the statement of ``sql/<name>.sql`` for each row of values."""
    await connection.executemany(sql(name), rows)


def _noting(era: Era) -> Callable[[Session], Coroutine[Any, Any, None]]:
    async def note(session: Session) -> None:
        # a standby has no timeline to tell yet, nor have some services: that changes nothing
        with contextlib.suppress(asyncpg.PostgresError):
            ((timeline,),) = await fetch(session, "timeline")
            era.found(timeline)

    return note


async def _as_it_is(connection: object) -> None:
    """Leave a connection that is given back as it is: nothing here outlives its transaction, and
    the driver's clearing up would be a second round trip for each statement."""


@contextlib.contextmanager
def told(place: str) -> Iterator[None]:
    """Raise an error of PostgreSQL, or of the way to it, as what it means for a store."""
    try:
        yield
    except EXPECTED as error:
        raise translated(error, place) from error


def translated(error: BaseException, place: str) -> StoreError:
    """Return what an error means; all of them may pass but :class:`StoreUnfit`.

    Nothing was stored, but where the connection was lost or given up: then that is not known.
    """
    error = _reason(error)
    code = str(getattr(error, "sqlstate", None) or "")
    if code in _FULL:
        return StoreFull(f"{place}: {error}; make room on the server")
    if code == _READ_ONLY or isinstance(error, _UNFIT):
        return read_only(place)
    remedy = _HOME if isinstance(error, OSError) and error.filename else _REMEDIES.get(code)
    if remedy is not None:
        return StoreUnfit(f"{place}: {error}; {remedy}")
    if code in _OTHER_TABLES:
        return StoreTooNew(
            f"{place}: {error}: the tables are of another version than this Busway; run the newest"
        )
    advice = _ADVICE.get(code, "")
    if isinstance(error, asyncpg.PostgresError) and not isinstance(
        error, asyncpg.PostgresConnectionError
    ):
        return StoreError(f"{place}: {error}{advice}")
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return StoreError(f"{place} cannot be used now: {text}{advice}")


def _reason(error: BaseException) -> BaseException:
    """Return why a connection was lost where the driver only says that it cannot end on it."""
    while isinstance(error, asyncpg.InterfaceError) and isinstance(error.__context__, EXPECTED):
        error = error.__context__
    return error


def read_only(place: str) -> StoreError:
    """Return what it means that a server takes no writes; a failover may end that."""
    return StoreError(
        f"{place} is read-only; point Busway at the primary, or, where this is it, set"
        " default_transaction_read_only to off"
    )
