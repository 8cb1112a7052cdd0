"""Ordinary functions run in a thread of their own, so that a slow one stops nobody else.

A call that takes too long gets :class:`StepTimeout` raised inside it. Where that does not help
(it is blocked in C), its thread is given up and the batch goes on in a new one.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import ctypes
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from busway.event import Event, release
from busway.step.patience import watching
from busway.step.result import failed, produced
from busway.step.step import Failed, Produced

_FEW = 64
_QUICK_S = 0.0001
"""Up to so long a call is too quick to be measured by itself; so many are, together."""
_LOOKS = 4
"""How often the watcher looks at a call within its limit."""


class StepTimeout(BaseException):
    """Raised inside a step that takes longer than its limit; ``except Exception`` lets it pass."""


class Run:
    """One function over some events, in one thread; a watcher looks at ``index``."""

    def __init__(self, function: Callable[[Event], Any], events: Sequence[Event]) -> None:
        self.results: list[Produced] = []
        self.given_up = False
        self.paused = False
        """Whether the call waits for something that is not its fault."""
        self._function = function
        self._events = events
        self._told = -1
        self._loop = asyncio.get_running_loop()
        self.done = self._loop.create_future()
        context = contextvars.copy_context()
        context.run(watching.set, self)
        self._thread = threading.Thread(
            target=context.run, args=(self._work,), name="busway-step", daemon=True
        )

    @property
    def index(self) -> int:
        """Which event it is at."""
        return len(self.results)

    def start(self) -> None:
        self._thread.start()

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False

    def tell(self, index: int) -> None:
        """Raise :class:`StepTimeout` in the thread, which is at ``index`` for too long."""
        self._told = index
        thread_id = ctypes.c_ulong(self._thread.ident or 0)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(thread_id, ctypes.py_object(StepTimeout))

    def _work(self) -> None:
        while True:
            try:
                self._pass()
                self._finish()
            except StepTimeout:
                self._late()
            else:
                return

    def _pass(self) -> None:
        size = 1
        while self.index < len(self._events) and not self.given_up:
            began = time.perf_counter()
            self._few(self._events[self.index : self.index + size], began)
            quick = time.perf_counter() - began < size * _QUICK_S
            size = _FEW if quick else 1

    def _few(self, events: Sequence[Event], began: float) -> None:
        """Call the function for some events; what one took that failed is measured from before."""
        function, append = self._function, self.results.append
        for event in events:
            try:
                value = function(event)
                value = [value] if type(value) is dict else produced(value)
            except StepTimeout:
                raise
            except BaseException as error:
                now = time.perf_counter()
                value, began = failed(error, now - began), now
            if self.given_up:
                return
            append(value)
            release(event)

    def _late(self) -> None:
        """Record the timeout, or go on at the same event when it was meant for the one before."""
        if self._told == self.index < len(self._events):
            self.results.append(Failed("StepTimeout", "the step took too long"))

    def _finish(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended; nobody waits
            self._loop.call_soon_threadsafe(self._set_done)

    def _set_done(self) -> None:
        if not self.done.done():
            self.done.set_result(None)


async def run_in_thread(
    function: Callable[[Event], Any], events: Sequence[Event], timeout_s: float
) -> list[Produced]:
    """Return what the function made of each event; one call may take ``timeout_s`` seconds."""
    results: list[Produced] = []
    while len(results) < len(events):
        run = Run(function, events[len(results) :])
        run.start()
        results += await _watched(run, timeout_s)
    return results


async def _watched(run: Run, timeout_s: float) -> list[Produced]:
    seen, looks = -1, 0
    while not run.done.done():
        await asyncio.wait((run.done,), timeout=timeout_s / _LOOKS)
        looks = looks + 1 if run.index == seen and not run.paused else 0
        seen = run.index
        if looks == _LOOKS:
            run.tell(seen)
        elif looks >= 2 * _LOOKS:
            run.given_up = True
            late = Failed("StepTimeout", f"the step took over {2 * timeout_s:g} s and was left")
            return [*run.results[:seen], late]
    return run.results
