"""A pool of connections to PostgreSQL, and what its errors mean for a store."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Iterator, Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Self, cast
from urllib.parse import urlsplit

import asyncpg

from busway.errors import StoreError, StoreFull

CONNECT_S = 10.0
STATEMENT_S = 60.0
CLOSE_S = 10.0
CONNECTIONS = 12
_FULL = ("53100", "53200")
_READ_ONLY = "25006"
_LOST = (asyncpg.PostgresConnectionError, asyncpg.InterfaceError, OSError, EOFError)
_EXPECTED = (asyncpg.PostgresError, *_LOST, TimeoutError, ssl.SSLError)

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


def place_of(url: str) -> str:
    """Return what a person calls a database: host, port and name, without secrets."""
    parts = urlsplit(url)
    return f"postgresql://{parts.hostname or ''}{f':{parts.port}' * bool(parts.port)}{parts.path}"


class Database:
    """Runs statements; each call takes a connection from the pool for as long as it needs one."""

    def __init__(self, url: str, pool: Pool) -> None:
        self.url = url
        self.place = place_of(url)
        self._pool = pool

    @classmethod
    async def open(cls, url: str, schema: str) -> Self:
        """Connect; raises :class:`StoreError` when the server cannot be used now."""
        with told(place_of(url)):
            pool = await asyncpg.create_pool(
                url,
                min_size=0,
                max_size=CONNECTIONS,
                timeout=CONNECT_S,
                command_timeout=STATEMENT_S,
                server_settings={
                    "application_name": "busway",
                    "search_path": schema,
                    "jit": "off",
                },
            )
        return cls(url, pool)

    async def rows(self, name: str, *values: object) -> list[Row]:
        """Run the statement of ``sql/<name>.sql``, a transaction by itself, and return its rows."""
        return await self.query(sql(name), *values)

    async def query(self, statement: str, *values: object) -> list[Row]:
        """Run a statement and return its rows."""
        async with self.connection() as connection:
            return cast("list[Row]", await connection.fetch(statement, *values))

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Lend a connection."""
        with told(self.place):
            try:
                async with self._pool.acquire(timeout=CONNECT_S) as connection:
                    yield connection
            except asyncpg.ReadOnlySQLTransactionError:
                # after a failover the others of the pool are connected to a standby as well
                await self._pool.expire_connections()
                raise

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Lend a connection inside a transaction, committed at the end, undone by an error."""
        async with self.connection() as connection, connection.transaction():
            yield connection

    async def close(self) -> None:
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._pool.close()
        except _EXPECTED:
            self._pool.terminate()


async def fetch(
    connection: Connection | asyncpg.Connection[asyncpg.Record], name: str, *values: object
) -> list[Row]:
    """Run the statement of ``sql/<name>.sql`` on a connection and return its rows."""
    return cast("list[Row]", await connection.fetch(sql(name), *values))


async def run_many(connection: Connection, name: str, rows: Sequence[Row]) -> None:
    """Run the statement of ``sql/<name>.sql`` for each row of values."""
    await connection.executemany(sql(name), rows)


@contextlib.contextmanager
def told(place: str) -> Iterator[None]:
    """Raise an error of PostgreSQL, or of the way to it, as what it means for a store."""
    try:
        yield
    except _EXPECTED as error:
        raise translated(error, place) from error


def translated(error: BaseException, place: str) -> StoreError:
    """Return what an error means; all of them may pass, and nothing was stored."""
    code = str(getattr(error, "sqlstate", None) or "")
    if code in _FULL:
        return StoreFull(f"{place}: {error}; make room on the server")
    if code == _READ_ONLY:
        return StoreError(f"{place} is read-only; point Busway at the primary")
    if isinstance(error, asyncpg.PostgresError) and not isinstance(
        error, asyncpg.PostgresConnectionError
    ):
        return StoreError(f"{place}: {error}")
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return StoreError(f"{place} cannot be used now: {text}")
