"""Hang up on a server that says nothing, also one that has said something before."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING

import asyncpg

from busway.engine.postgres.way import Session, Way, session_settings

QUICK_S = 15.0
"""How long what others wait for may take: a server that is away may not say so."""
LOST = (
    *(asyncpg.PostgresConnectionError, asyncpg.InterfaceError, asyncpg.InternalClientError),
    *(OSError, EOFError),
)
"""The last of the driver's is what it comes to when a connection breaks inside an operation."""

if TYPE_CHECKING:
    Connection = asyncpg.pool.PoolConnectionProxy[asyncpg.Record] | Session
else:
    Connection = object


@contextlib.contextmanager
def hung_up_after(within_s: float, connection: Connection, hint: str = "") -> Iterator[None]:
    """Hang a connection up after a time; raises :class:`TimeoutError` that says so, and a hint.

    Nothing is cancelled at the server: a commit that waits for a standby would be done then,
    and seen, without being kept there.
    """
    with hanging_up(connection, f"it did not confirm within {within_s:g} seconds{hint}") as end:
        timer = asyncio.get_running_loop().call_later(within_s, end)
        try:
            yield
        finally:
            timer.cancel()


@contextlib.asynccontextmanager
async def short_session(way: Way, schema: str, within_s: float = QUICK_S) -> AsyncIterator[Session]:
    """Lend a connection of its own to a few questions; all together may take that long."""
    session = await way.connect(server_settings=session_settings(schema))
    with hung_up_after(within_s, session):
        try:
            yield session
        finally:
            await session.close()


@contextlib.contextmanager
def hanging_up(connection: Connection, why: str) -> Iterator[Callable[[], None]]:
    """Lend what hangs a connection up; what comes of it is raised with the reason."""
    over = False

    def hang_up() -> None:
        nonlocal over
        over = True
        connection.terminate()

    try:
        yield hang_up
    except LOST as error:
        if over:
            raise TimeoutError(why) from error
        raise
