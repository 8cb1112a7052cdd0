"""A session whose statements may take as long as they need, while the server is at work on them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from busway.driver.postgres.connector import Connector, Session, session_settings
from busway.driver.postgres.timeout import QUICK_TIMEOUT_S, terminable, terminate_after
from busway.engine.postgres.database import DRIVER_ERRORS, fetch


@contextlib.asynccontextmanager
async def watched_session(
    connector: Connector, schema: str, probe_interval_s: float = QUICK_TIMEOUT_S
) -> AsyncIterator[Session]:
    """Lend a connection to statements that may take as long as they need, while they are at it.

    Now and then it is looked whether the server still works for it.
    """
    session = await connector.connect(server_settings=session_settings(schema))
    why = "it says nothing of what it was asked to do, and does not work on it"
    with terminable(session, why) as hang_up:
        looking = asyncio.create_task(
            _terminate_when_idle(connector, session, probe_interval_s, hang_up)
        )
        try:
            yield session
            await session.close()
        finally:
            session.terminate()
            looking.cancel()
            await asyncio.wait([looking])


async def _terminate_when_idle(
    connector: Connector, session: Session, probe_interval_s: float, terminate: Callable[[], None]
) -> None:
    pid = session.get_server_pid()
    while True:
        await asyncio.sleep(probe_interval_s)
        if not await _is_active(connector, pid, probe_interval_s):
            terminate()


async def _is_active(connector: Connector, pid: int, probe_interval_s: float) -> bool:
    """Say whether a server works for a session; one that refuses to say it is no silent one."""
    try:
        session = await connector.connect()
        with terminate_after(probe_interval_s, session):
            try:
                return bool(
                    (await fetch(session, "schema/session_is_active", pid, probe_interval_s))[0][0]
                )
            finally:
                session.terminate()
    except TimeoutError:
        return False
    except DRIVER_ERRORS:
        return True
