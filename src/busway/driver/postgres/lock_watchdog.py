"""How long PostgreSQL waits for a worker that stands still in the middle of a transaction."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from importlib.resources import files
from typing import Protocol

STALLED_AFTER_S = 2.5
"""How long a session may be silent while others wait for what it has locked."""
CHECK_INTERVAL_S = 1.0
"""After so long, and again, it is looked whether what waits does so for one that stands still."""
CHECK_TIMEOUT_S = 15.0
"""How long a look may take: the next one waits for it."""


class WatchdogSession(Protocol):
    """A connection of its own to the database, as asyncpg has it."""

    async def execute(self, query: str, *args: object) -> str: ...

    def terminate(self) -> None: ...


class LockWatchdog:
    """Ends the sessions of workers that stand still in a transaction that others wait for.

    A worker that was stopped, or whose machine is paused, keeps its rows locked. The server ends
    that by itself where it waits for another statement (``idle_in_transaction_session_timeout``),
    later, but not where it waits for the rest of one: a ``COPY``, or one that is only prepared.
    ``expected`` are the errors that a look may end with: the next one is soon.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[WatchdogSession]],
        expected: tuple[type[BaseException], ...],
    ) -> None:
        self._connect = connect
        self._expected = expected
        self._check_task: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Look now and then who stands still, while this takes longer than it should."""
        loop = asyncio.get_running_loop()
        timer: asyncio.TimerHandle

        def late() -> None:
            nonlocal timer
            # one for all: a server that is late is not to be overrun
            if self._check_task is None or self._check_task.done():
                self._check_task = loop.create_task(self._terminate_blockers())
            timer = loop.call_later(CHECK_INTERVAL_S, late)

        timer = loop.call_later(CHECK_INTERVAL_S, late)
        try:
            yield
        finally:
            timer.cancel()

    async def close(self) -> None:
        if self._check_task is not None:
            self._check_task.cancel()
            await asyncio.gather(self._check_task, return_exceptions=True)

    async def _terminate_blockers(self) -> None:
        with contextlib.suppress(*self._expected):
            async with asyncio.timeout(CHECK_TIMEOUT_S):
                session = await self._connect()
                try:
                    await session.execute(_terminate_statement(), STALLED_AFTER_S)
                finally:
                    session.terminate()


def _terminate_statement() -> str:
    return (
        files("busway.driver.postgres")
        .joinpath("terminate_blockers.sql")
        .read_text("utf-8")
        .rstrip()
        .rstrip(";")
    )
