"""Terminate sessions that hold locks although their worker has stalled."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from typing import Protocol

from busway.driver.postgres.session import APPLICATION_NAME
from busway.driver.statement import load_statement

STALLED_AFTER_S = 2.5
"""How long a session may be silent while others wait for its locks."""
CHECK_INTERVAL_S = 1.0
"""How long a statement may take before the watchdog checks for blockers, and between checks."""
CHECK_TIMEOUT_S = 15.0
"""How long a check may take; the next check waits for it."""


class WatchdogSession(Protocol):
    """The part of an asyncpg connection that the watchdog uses."""

    async def execute(self, query: str, *args: object) -> str: ...

    def terminate(self) -> None: ...


class LockWatchdog:
    """Terminates the sessions of stalled workers in a transaction that others wait for.

    A worker that is stopped, or whose machine is paused, keeps its rows locked. The server ends
    such a session if it waits for another statement (``idle_in_transaction_session_timeout``,
    later), but not if it waits for the rest of a statement: a ``COPY``, or a statement that is only
    prepared. ``expected`` are the errors that a check may end with: the next check follows soon.
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
        """Check for stalled blockers every second while the block runs."""
        loop = asyncio.get_running_loop()
        timer: asyncio.TimerHandle

        def check() -> None:
            nonlocal timer
            # one check for all statements: a slow server must not be flooded with them
            if self._check_task is None or self._check_task.done():
                self._check_task = loop.create_task(self._terminate_blockers())
            timer = loop.call_later(CHECK_INTERVAL_S, check)

        timer = loop.call_later(CHECK_INTERVAL_S, check)
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
                    query = load_statement(__package__, "terminate_blockers")
                    await session.execute(query, STALLED_AFTER_S, APPLICATION_NAME)
                finally:
                    session.terminate()
