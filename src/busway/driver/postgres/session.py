"""What every session of Busway at a PostgreSQL server has in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncpg

from busway.driver.postgres.error import DRIVER_ERRORS

APPLICATION_NAME = "busway"
"""By this name the server's administrators, and other workers, recognize a session of Busway."""
CONNECT_TIMEOUT_S = 10.0

if TYPE_CHECKING:
    Session = asyncpg.Connection[asyncpg.Record]
else:
    Session = object


async def close_gracefully(session: Session, timeout_s: float) -> None:
    """Close a session; terminate it if the server does not respond in time."""
    try:
        await session.close(timeout=timeout_s)
    except DRIVER_ERRORS:
        session.terminate()
