"""The appends of one process in sequence: an abandoned one is stored before the next, or never."""

from __future__ import annotations

import asyncio
import uuid

from busway.engine.postgres.database import Database, Row


class AppendSequence:
    """Runs statements one after the other, each with the next sequence number.

    The server knows the last number of each appender, and a statement with an older one does
    nothing. So an abandoned statement (its connection broke, its standby is down) cannot take
    effect after a later one.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._appender = uuid.uuid4()
        self._sequence = 0
        self._lock = asyncio.Lock()
        self._uncertain = False
        """Whether an append was abandoned, and none has succeeded since."""
        self._resolving: asyncio.Task[None] | None = None

    async def run(self, name: str, *values: object) -> list[Row]:
        """Run ``sql/<name>.sql`` with the appender, its next sequence number, and the values."""
        async with self._lock:
            return await self._run_next(name, *values)

    async def resolve_uncertain(self) -> None:
        """Return once it is certain whether an abandoned append was stored.

        If it was, it is committed as safely as any other. Concurrent callers share one statement.
        """
        if not self._uncertain:
            return
        if self._resolving is None or self._resolving.done():
            self._resolving = asyncio.create_task(self._resolve())
            self._resolving.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.shield(self._resolving)

    async def close(self) -> None:
        if self._resolving is not None:
            self._resolving.cancel()
            await asyncio.wait([self._resolving])

    async def _resolve(self) -> None:
        async with self._lock:
            if self._uncertain:
                await self._run_next("log/advance_sequence")

    async def _run_next(self, name: str, *values: object) -> list[Row]:
        self._sequence += 1
        try:
            rows = await self._database.fetch_quickly(name, self._appender, self._sequence, *values)
        except BaseException:
            self._uncertain = True
            raise
        self._uncertain = self._uncertain and not rows
        return rows
