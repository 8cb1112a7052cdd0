"""The skeleton of every loop: turn after turn until stopped, with a pause after a failed turn."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator

from busway.runtime.cancellation import is_cancellation
from busway.runtime.outage_log import OutageLog

_PAUSES_S = (0.1, 0.5, 1.0, 5.0)

LoopBody = Callable[["Loop"], Awaitable[None]]


class Loop:
    """One task that runs its body again and again. It waits only inside ``with interruptible():``.

    ``stop`` ends a loop at once while it waits there; otherwise the current run finishes first.
    Loops with the same ``outage_log`` report failures together. An exception does not end a loop:
    it pauses, longer after each further failure, and runs again. ``flow`` is the flow it works for.
    """

    def __init__(
        self,
        name: str,
        body: LoopBody,
        outage_log: OutageLog | None = None,
        longest_pause_s: float = _PAUSES_S[-1],
        flow: str = "",
    ) -> None:
        self.name = name
        self._flow = flow
        self._outage_log = outage_log or OutageLog()
        self._longest_pause_s = longest_pause_s
        self._body = body
        self._stopping = False
        self._is_interruptible = False
        self._failures = 0
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name=self.name)

    @contextlib.contextmanager
    def interruptible(self) -> Iterator[None]:
        """Mark a place where the loop may be stopped."""
        if self._stopping:
            raise asyncio.CancelledError
        self._is_interruptible = True
        try:
            yield
        finally:
            self._is_interruptible = False

    def stop(self) -> None:
        """Ask the loop to end; ``join`` waits for it."""
        self._stopping = True
        if self._is_interruptible and self._task is not None:
            self._task.cancel()

    async def join(self, within_s: float) -> bool:
        """Return whether the loop ended by itself in time; it has ended in any case."""
        if self._task is None:
            return True
        done, _ = await asyncio.wait((self._task,), timeout=within_s)
        if not done:
            self._task.cancel()
            await asyncio.wait((self._task,))
        return bool(done)

    async def _run(self) -> None:
        try:
            while not self._stopping:
                await self._run_body()
        finally:
            self._outage_log.ended(self.name)

    async def _run_body(self) -> None:
        try:
            await self._body(self)
        except BaseException as error:
            if is_cancellation(error) or (
                self._stopping and isinstance(error, asyncio.CancelledError)
            ):
                raise
            self._outage_log.failed(self.name, error, self._flow)
            await self._pause()
        else:
            self._failures = 0
            self._outage_log.succeeded(self.name)

    async def _pause(self) -> None:
        pause_s = _PAUSES_S[min(self._failures, len(_PAUSES_S) - 1)]
        self._failures += 1
        with self.interruptible():
            await asyncio.sleep(min(pause_s, self._longest_pause_s))
