"""Waiting that is not the step's fault does not count towards its time limit."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol


class PausableTimeout(Protocol):
    """What measures how long the step that runs now takes."""

    def pause(self) -> None: ...

    def resume(self) -> None: ...


current_timeout: ContextVar[PausableTimeout | None] = ContextVar("busway_watching", default=None)


class CoroutineTimeout:
    """Measures the calls of an ``async`` step, one after the other."""

    def __init__(self) -> None:
        self.timeout: asyncio.Timeout | None = None
        self._remaining_s = 0.0

    def pause(self) -> None:
        """Stop the time."""
        when = None if self.timeout is None else self.timeout.when()
        if self.timeout is not None and when is not None and not self.timeout.expired():
            self._remaining_s = when - asyncio.get_running_loop().time()
            self.timeout.reschedule(None)

    def resume(self) -> None:
        """Let the time that was left go on."""
        if self.timeout is not None and self.timeout.when() is None and not self.timeout.expired():
            self.timeout.reschedule(asyncio.get_running_loop().time() + self._remaining_s)


@contextmanager
def timeout_paused() -> Iterator[None]:
    """Stop the time of the step that runs here, if one does."""
    watch = current_timeout.get()
    if watch is None:
        yield
        return
    watch.pause()
    try:
        yield
    finally:
        watch.resume()
