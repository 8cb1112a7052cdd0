"""Timeouts of steps, which do not count waiting for a limit."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol


class PausableTimeout(Protocol):
    """Measures the running time of the current step."""

    def pause(self) -> None: ...

    def resume(self) -> None: ...


current_timeout: ContextVar[PausableTimeout | None] = ContextVar("busway_timeout", default=None)


class CoroutineTimeout:
    """Measures the sequential calls of an ``async`` step."""

    def __init__(self) -> None:
        self.timeout: asyncio.Timeout | None = None
        self._remaining_s = 0.0

    def pause(self) -> None:
        """Pause the timeout."""
        when = None if self.timeout is None else self.timeout.when()
        if self.timeout is not None and when is not None and not self.timeout.expired():
            self._remaining_s = when - asyncio.get_running_loop().time()
            self.timeout.reschedule(None)

    def resume(self) -> None:
        """Resume the timeout with the remaining time."""
        if self.timeout is not None and self.timeout.when() is None and not self.timeout.expired():
            self.timeout.reschedule(asyncio.get_running_loop().time() + self._remaining_s)


@contextmanager
def timeout_paused() -> Iterator[None]:
    """Pause the timeout of the current step, if there is one."""
    watch = current_timeout.get()
    if watch is None:
        yield
        return
    watch.pause()
    try:
        yield
    finally:
        watch.resume()
