"""A session whose statements may take any time as long as the server is working on them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from busway.driver.postgres.connector import Connector, session_settings
from busway.driver.postgres.error import DRIVER_ERRORS
from busway.driver.postgres.session import Session
from busway.driver.postgres.timeout import QUICK_TIMEOUT_S, terminable, terminate_after
from busway.driver.statement import load_statement


@contextlib.asynccontextmanager
async def watched_session(
    connector: Connector, schema: str, probe_interval_s: float = QUICK_TIMEOUT_S
) -> AsyncIterator[Session]:
    """Lend a connection for statements of any duration.

    Every ``probe_interval_s`` a second connection asks whether the server still works on them; if
    it does not, the connection is terminated.
    """
    session = await connector.connect(server_settings=session_settings(schema))
    reason = "it does not respond to a statement, and does not work on it"
    with terminable(session, reason) as terminate:
        watching = asyncio.create_task(
            _terminate_when_idle(connector, session, probe_interval_s, terminate)
        )
        try:
            yield session
            await session.close()
        finally:
            session.terminate()
            watching.cancel()
            await asyncio.wait([watching])


async def _terminate_when_idle(
    connector: Connector, session: Session, probe_interval_s: float, terminate: Callable[[], None]
) -> None:
    pid = session.get_server_pid()
    while True:
        await asyncio.sleep(probe_interval_s)
        if not await _is_active(connector, pid, probe_interval_s):
            terminate()


async def _is_active(connector: Connector, pid: int, probe_interval_s: float) -> bool:
    """Return whether the server works for a session; a server that refuses to say so responds."""
    try:
        session = await connector.connect()
        with terminate_after(probe_interval_s, session):
            try:
                query = load_statement(__package__, "session_is_active")
                return bool(await session.fetchval(query, pid, probe_interval_s))
            finally:
                session.terminate()
    except TimeoutError:
        return False
    except DRIVER_ERRORS:
        return True
