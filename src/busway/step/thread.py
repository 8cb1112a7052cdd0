"""Run an ordinary function over a batch in a thread, so that a slow one blocks nothing else.

A call that takes too long gets :class:`StepTimeout` raised inside it. If that does not help at once
(the call is blocked in C, or catches everything), its thread is abandoned, and the rest of the
batch goes on in another one.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import ctypes
import threading
import time
from collections.abc import Callable, Sequence
from gc import is_tracked
from typing import Any

from busway.event import Event, release_data
from busway.step.result import as_results, step_failure
from busway.step.step import StepFailure, StepResult, StepTimeout, timeout_failure
from busway.step.thread_pool import StepThreads
from busway.step.timeout_pause import current_timeout

_QUICK_CALLS = 64
_QUICK_CALL_S = 0.0001
"""Up to so long a call is too quick to be measured by itself; so many are, together."""
_CHECKS_PER_TIMEOUT = 20
"""How often the watcher looks at a call within its limit."""
_MIN_CHECK_INTERVAL_S = 0.005
_GRACE_S = 0.05
"""How long a thread has to end a call that was interrupted, before it is left."""


class ThreadRun:
    """One function over some events, in one thread; a watcher reads ``index``.

    It is interrupted at most once, and ends with the call in progress.
    """

    def __init__(self, function: Callable[[Event], Any], events: Sequence[Event]) -> None:
        self.results: list[StepResult] = []
        self.interrupted_index: int | None = None
        """The event at which it was interrupted."""
        self._abandoned = False
        self._ending = False
        self._end_token: list[None] = [None]
        """Whatever takes it ends the run: the thread itself, or an interruption."""
        self._interrupt_sent = threading.Event()
        self._paused_at: float | None = None
        self._paused_s = 0.0
        self._function = function
        self._events = events
        self._loop = asyncio.get_running_loop()
        self.done = self._loop.create_future()
        self._context = contextvars.copy_context()
        self._context.run(current_timeout.set, self)
        self._thread: threading.Thread | None = None

    @property
    def index(self) -> int:
        """The event in progress."""
        return len(self.results)

    @property
    def paused_s(self) -> float:
        """How long its calls have waited for something that does not count as their time."""
        at = self._paused_at
        return self._paused_s + (0.0 if at is None else time.perf_counter() - at)

    @property
    def count(self) -> int:
        return len(self._events)

    def start(self, threads: StepThreads) -> None:
        self._thread = threads.start(self)

    def pause(self) -> None:
        self._paused_at = time.perf_counter()

    def resume(self) -> None:
        self._paused_s, self._paused_at = self.paused_s, None

    def interrupt(self) -> None:
        """Raise :class:`StepTimeout` in the thread, unless the run is ending already.

        It may arrive one call late. The run ends all the same: that call, which it is not meant
        for, is repeated in another run.
        """
        if self._thread is None or not self._take_end_token():
            return
        self.interrupted_index = self.index
        self._ending = True
        thread_id = ctypes.c_ulong(self._thread.ident or 0)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(thread_id, ctypes.py_object(StepTimeout))
        self._interrupt_sent.set()

    def abandon(self) -> None:
        """Stop waiting for it: it starts no other call, and keeps no result."""
        self._abandoned = self._ending = True

    def work(self) -> bool:
        """Run the calls; return false after an interruption, which may arrive even later."""
        return self._context.run(self._work)

    def finish(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended; nothing waits
            self._loop.call_soon_threadsafe(self._set_done)

    def _work(self) -> bool:
        try:
            self._run_calls()
            if self._take_end_token():
                return True
            self._await_interruption()
        except StepTimeout:
            self._take_end_token()
        return False

    def _await_interruption(self) -> None:
        """Have an interruption that is under way arrive here, if the call did not catch it."""
        self._interrupt_sent.wait()
        for _ in range(100):
            time.sleep(0)

    def _take_end_token(self) -> bool:
        try:
            self._end_token.pop()
        except IndexError:
            return False
        return True

    def _run_calls(self) -> None:
        size = 1
        while self.index < len(self._events) and not self._ending:
            began = time.perf_counter()
            self._call_few(self._events[self.index : self.index + size], began)
            quick = time.perf_counter() - began < size * _QUICK_CALL_S
            size = _QUICK_CALLS if quick else 1

    def _call_few(self, events: Sequence[Event], began: float) -> None:
        """Call the function for some events; the first failed call counts from ``began``."""
        function, append = self._function, self.results.append
        for event in events:
            try:
                value = function(event)
                # inlined from as_results, to save two calls per event
                quick = type(value) is dict and not is_tracked(value)
                value = [value.copy()] if quick else as_results(value)
            except StepTimeout:
                raise
            except BaseException as error:
                now = time.perf_counter()
                value, began = step_failure(error, now - began), now
            if self._ending:
                if not self._abandoned:
                    append(value)
                return
            append(value)
            release_data(event)

    def _set_done(self) -> None:
        if not self.done.done():
            self.done.set_result(None)


async def run_in_thread(
    function: Callable[[Event], Any],
    events: Sequence[Event],
    timeout_s: float,
    threads: StepThreads,
) -> list[StepResult]:
    """Return the function's result for each event; one call may take ``timeout_s`` seconds."""
    results: list[StepResult] = []
    while len(results) < len(events):
        rest = events[len(results) :]
        release_data(rest[0])  # an earlier run may have started it
        run = ThreadRun(function, rest)
        run.start(threads)
        try:
            results += await _supervise(run, timeout_s)
        finally:
            run.abandon()
    return results


async def _supervise(run: ThreadRun, timeout_s: float) -> list[StepResult]:
    """Return the results of a run's first events; none if the first has to be repeated."""
    look_s = max(timeout_s / _CHECKS_PER_TIMEOUT, _MIN_CHECK_INTERVAL_S)
    at, spent_s = 0, 0.0
    looked, paused_s = time.perf_counter(), 0.0
    while not run.done.done() and run.index < run.count:
        await asyncio.wait((run.done,), timeout=look_s)
        now, paused = time.perf_counter(), run.paused_s
        # capped: while the whole process was suspended, the step did not run either
        spent_s += min(now - looked - (paused - paused_s), 2 * look_s)
        looked, paused_s = now, paused
        if run.index != at:
            at, spent_s = run.index, 0.0
        elif spent_s >= timeout_s and not run.done.done():
            run.interrupt()
            await asyncio.wait((run.done,), timeout=_GRACE_S)
            if run.index == at:
                run.abandon()
                return [*run.results[:at], timeout_failure(timeout_s, spent_s)]
    return _finished_results(run, timeout_s, spent_s)


def _finished_results(run: ThreadRun, timeout_s: float, spent_s: float) -> list[StepResult]:
    """Return the results of a run that ended, with the failure of the call that ended it."""
    results, interrupted = run.results, run.interrupted_index
    if interrupted is None:
        if len(results) < run.count:  # the step itself raised StepTimeout
            return [*results, timeout_failure(timeout_s, spent_s)]
    elif interrupted < len(results) and isinstance(results[interrupted], StepFailure):
        results[interrupted] = timeout_failure(timeout_s, spent_s)
    return results
