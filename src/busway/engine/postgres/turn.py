"""The turns of one appender: what it gave up has landed, or never will, before the next one."""

from __future__ import annotations

import asyncio
import uuid

from busway.engine.postgres.database import Database, Row


class Turns:
    """Runs statements one after the other, each with the next turn.

    The server knows the last turn of each appender, and a statement with an older one finds nothing
    to do. So one that was given up (its connection broke, its standby is away) cannot land after a
    later one.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._appender = uuid.uuid4()
        self._turn = 0
        self._lock = asyncio.Lock()
        self._uncertain = False
        """Whether one was given up, and none has landed since."""
        self._certifying: asyncio.Task[None] | None = None

    async def take(self, name: str, *values: object) -> list[Row]:
        """Run ``sql/<name>.sql`` with the appender, its next turn, and the values."""
        async with self._lock:
            return await self._take(name, *values)

    async def make_certain(self) -> None:
        """Return at once, or when it is decided whether what was given up has landed.

        If it has, it is committed as safely as any other. All who ask at a time wait together.
        """
        if not self._uncertain:
            return
        if self._certifying is None or self._certifying.done():
            self._certifying = asyncio.create_task(self._certify())
            self._certifying.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.shield(self._certifying)

    async def close(self) -> None:
        if self._certifying is not None:
            self._certifying.cancel()
            await asyncio.wait([self._certifying])

    async def _certify(self) -> None:
        async with self._lock:
            if self._uncertain:
                await self._take("log/take_turn")

    async def _take(self, name: str, *values: object) -> list[Row]:
        self._turn += 1
        try:
            found = await self._database.quick(name, self._appender, self._turn, *values)
        except BaseException:
            self._uncertain = True
            raise
        self._uncertain = self._uncertain and not found
        return found
