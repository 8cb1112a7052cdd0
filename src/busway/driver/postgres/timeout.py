"""Terminate connections to a server that does not respond."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING

import asyncpg

from busway.driver.postgres.connector import Connector, session_settings
from busway.driver.postgres.error import CONNECTION_LOST_ERRORS
from busway.driver.postgres.session import Session

QUICK_TIMEOUT_S = 15.0
"""How long statements that others wait for may take: a server that is down may not say so."""

if TYPE_CHECKING:
    Connection = asyncpg.pool.PoolConnectionProxy[asyncpg.Record] | Session
else:
    Connection = object


@contextlib.contextmanager
def terminate_after(
    timeout_s: float, connection: Connection, timeout_hint: str = ""
) -> Iterator[None]:
    """Terminate a connection after a time; raise a :class:`TimeoutError` that says so, and a hint.

    Nothing is cancelled at the server: a cancelled commit that waits for a standby would be done
    and visible without being stored on the standby.
    """
    with terminable(
        connection, f"it did not confirm within {timeout_s:g} seconds{timeout_hint}"
    ) as terminate:
        timer = asyncio.get_running_loop().call_later(timeout_s, terminate)
        try:
            yield
        finally:
            timer.cancel()


@contextlib.asynccontextmanager
async def short_session(
    connector: Connector, schema: str, timeout_s: float = QUICK_TIMEOUT_S
) -> AsyncIterator[Session]:
    """Lend a connection for a few queries, which together may take ``timeout_s``."""
    session = await connector.connect(server_settings=session_settings(schema))
    with terminate_after(timeout_s, session):
        try:
            yield session
        finally:
            await session.close()


@contextlib.contextmanager
def terminable(connection: Connection, reason: str) -> Iterator[Callable[[], None]]:
    """Lend a function that terminates a connection; the resulting error becomes a
    :class:`TimeoutError` with the reason.
    """
    terminated = False

    def terminate() -> None:
        nonlocal terminated
        terminated = True
        connection.terminate()

    try:
        yield terminate
    except CONNECTION_LOST_ERRORS as error:
        if terminated:
            raise TimeoutError(reason) from error
        raise
