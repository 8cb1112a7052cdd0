"""A session whose statements may take as long as they need, while the server is at work on them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from busway.engine.postgres.database import EXPECTED, fetch
from busway.engine.postgres.silence import QUICK_S, hanging_up, hung_up_after
from busway.engine.postgres.way import Session, Way, session_settings


@contextlib.asynccontextmanager
async def long_session(way: Way, schema: str, look_s: float = QUICK_S) -> AsyncIterator[Session]:
    """Lend a connection to statements that may take as long as they need, while they are at it.

    Now and then it is looked whether the server still works for it.
    """
    session = await way.connect(server_settings=session_settings(schema))
    why = "it says nothing of what it was asked to do, and does not work on it"
    with hanging_up(session, why) as hang_up:
        looking = asyncio.create_task(_hang_up_when_idle(way, session, look_s, hang_up))
        try:
            yield session
            await session.close()
        finally:
            session.terminate()
            looking.cancel()
            await asyncio.wait([looking])


async def _hang_up_when_idle(
    way: Way, session: Session, look_s: float, hang_up: Callable[[], None]
) -> None:
    pid = session.get_server_pid()
    while True:
        await asyncio.sleep(look_s)
        if not await _is_worked_on(way, pid, look_s):
            hang_up()


async def _is_worked_on(way: Way, pid: int, look_s: float) -> bool:
    """Say whether a server works for a session; one that refuses to say it is no silent one."""
    try:
        session = await way.connect()
        with hung_up_after(look_s, session):
            try:
                return bool((await fetch(session, "schema/is_worked_on", pid, look_s))[0][0])
            finally:
                session.terminate()
    except TimeoutError:
        return False
    except EXPECTED:
        return True
