"""Waiting that is not the step's fault does not count towards its time limit."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol


class Watch(Protocol):
    """What measures how long the step that runs now takes."""

    def pause(self) -> None: ...

    def resume(self) -> None: ...


watching: ContextVar[Watch | None] = ContextVar("busway_watching", default=None)


class TimeoutWatch:
    """Measures the calls of an ``async`` step, one after the other."""

    def __init__(self) -> None:
        self.limit: asyncio.Timeout | None = None
        self._left_s = 0.0

    def pause(self) -> None:
        """Stop the time."""
        when = None if self.limit is None else self.limit.when()
        if self.limit is not None and when is not None and not self.limit.expired():
            self._left_s = when - asyncio.get_running_loop().time()
            self.limit.reschedule(None)

    def resume(self) -> None:
        """Let the time that was left go on."""
        if self.limit is not None and self.limit.when() is None and not self.limit.expired():
            self.limit.reschedule(asyncio.get_running_loop().time() + self._left_s)


@contextmanager
def unhurried() -> Iterator[None]:
    """Stop the time of the step that runs here, if one does."""
    watch = watching.get()
    if watch is None:
        yield
        return
    watch.pause()
    try:
        yield
    finally:
        watch.resume()
