"""Vacuum the log's table after trimming, so that it does not grow."""

from __future__ import annotations

import asyncio
import contextlib

from busway.engine.postgres.database import Database, fetch, sql
from busway.errors import StoreError

MIN_TRIMMED_BYTES = 32 * 1024 * 1024
TRIMMED_SHARE = 8
"""A vacuum is due once one byte in so many of the log was trimmed."""
_VACUUM_TIMEOUT_S = 6 * 3600.0


class Vacuum:
    """Vacuums the table of batches in the background once enough of it was trimmed.

    The server's autovacuum runs at most once a minute, by the number of rows, or never.
    """

    def __init__(self, database: Database, min_trimmed_bytes: int = MIN_TRIMMED_BYTES) -> None:
        self._database = database
        self._min_trimmed_bytes = min_trimmed_bytes
        self._trimmed_bytes = 0
        self._task: asyncio.Task[None] | None = None

    def record_trimmed(self, size_bytes: int) -> None:
        """Record that batches of that many bytes were deleted."""
        self._trimmed_bytes += size_bytes

    async def start_if_due(self, log_bytes: int) -> None:
        """Start a vacuum if it is due and none is running."""
        if self._task is not None and not self._task.done():
            return
        if self._trimmed_bytes >= max(self._min_trimmed_bytes, log_bytes // TRIMMED_SHARE):
            self._task = asyncio.create_task(self._run(), name="busway-vacuum")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        trimmed = self._trimmed_bytes
        with contextlib.suppress(StoreError):  # the next one tries again
            async with self._database.connection(_VACUUM_TIMEOUT_S) as connection:
                await fetch(connection, "log/prune_appenders")
                await connection.execute(sql("log/vacuum"))
            self._trimmed_bytes -= trimmed
