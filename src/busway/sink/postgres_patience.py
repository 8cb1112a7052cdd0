"""How long a load waits for another worker that stands still in the middle of its own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator

from asyncpg import Connection, Record

from busway.sink.postgres_error import EXPECTED
from busway.sink.statement import statement

STILL_S = 2.5
"""How long a session may be silent while others wait for what it has locked."""
LATE_S = 1.0
"""After so long, and again, it is looked whether a load waits for one that stands still."""
LOOK_S = 15.0


class Patience:
    """Ends the sessions of workers that stand still in a transaction that loads wait for.

    A worker that is stopped, or whose machine is paused, keeps the position of its lane locked, and
    the server waits for it: until ``idle_in_transaction_session_timeout`` between two statements,
    and in the middle of a ``COPY`` until ``statement_timeout``.
    """

    def __init__(self, connect: Callable[[], Awaitable[Connection[Record]]]) -> None:
        self._connect = connect
        self._looking: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Look now and then who stands still, while this takes longer than it should."""
        loop = asyncio.get_running_loop()
        timer: asyncio.TimerHandle

        def late() -> None:
            nonlocal timer
            if self._looking is None or self._looking.done():  # one for all loads
                self._looking = loop.create_task(self._hang_up())
            timer = loop.call_later(LATE_S, late)

        timer = loop.call_later(LATE_S, late)
        try:
            yield
        finally:
            timer.cancel()

    async def close(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait([self._looking])

    async def _hang_up(self) -> None:
        with contextlib.suppress(*EXPECTED):
            async with asyncio.timeout(LOOK_S):
                connection = await self._connect()
                try:
                    await connection.execute(statement("postgres", "hang_up"), STILL_S)
                finally:
                    connection.terminate()
