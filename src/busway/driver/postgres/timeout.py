"""Hang up on a server that says nothing, also one that has said something before."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING

import asyncpg

from busway.driver.postgres.connector import Connector, Session, session_settings

QUICK_TIMEOUT_S = 15.0
"""How long what others wait for may take: a server that is away may not say so."""
CONNECTION_LOST_ERRORS = (
    *(asyncpg.PostgresConnectionError, asyncpg.InterfaceError, asyncpg.InternalClientError),
    *(OSError, EOFError),
)
"""The last of the driver's is what it comes to when a connection breaks inside an operation."""

if TYPE_CHECKING:
    Connection = asyncpg.pool.PoolConnectionProxy[asyncpg.Record] | Session
else:
    Connection = object


@contextlib.contextmanager
def terminate_after(
    timeout_s: float, connection: Connection, timeout_hint: str = ""
) -> Iterator[None]:
    """Hang a connection up after a time; raises :class:`TimeoutError` that says so, and a hint.

    Nothing is cancelled at the server: a commit that waits for a standby would be done then,
    and seen, without being kept there.
    """
    with terminable(
        connection, f"it did not confirm within {timeout_s:g} seconds{timeout_hint}"
    ) as end:
        timer = asyncio.get_running_loop().call_later(timeout_s, end)
        try:
            yield
        finally:
            timer.cancel()


@contextlib.asynccontextmanager
async def short_session(
    connector: Connector, schema: str, timeout_s: float = QUICK_TIMEOUT_S
) -> AsyncIterator[Session]:
    """Lend a connection of its own to a few questions; all together may take that long."""
    session = await connector.connect(server_settings=session_settings(schema))
    with terminate_after(timeout_s, session):
        try:
            yield session
        finally:
            await session.close()


@contextlib.contextmanager
def terminable(connection: Connection, reason: str) -> Iterator[Callable[[], None]]:
    """Lend what hangs a connection up; what comes of it is raised with the reason."""
    over = False

    def hang_up() -> None:
        nonlocal over
        over = True
        connection.terminate()

    try:
        yield hang_up
    except CONNECTION_LOST_ERRORS as error:
        if over:
            raise TimeoutError(reason) from error
        raise
