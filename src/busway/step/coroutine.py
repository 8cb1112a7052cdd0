"""``async`` functions run on the loop, some calls at a time.

A call that takes too long is cancelled. One that does not end then (it catches everything) is left,
and another takes its place.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterable, Callable, Iterator, Sequence
from types import CoroutineType
from typing import Any, Generic, TypeVar

from busway.step.result import copied_result, step_failure
from busway.step.step import Step, StepFailure, timeout_failure
from busway.step.timeout_pause import CoroutineTimeout, current_timeout

A = TypeVar("A")
R = TypeVar("R")
Calls = Iterator[tuple[int, A]]
_CHECKS_PER_TIMEOUT = 20
_MIN_CHECK_INTERVAL_S = 0.01
_GRACE_S = 0.05
"""How long a cancelled call may continue before it is abandoned."""
_CANCELLED = StepFailure("CancelledError", "the step cancelled the task that called it")


async def run_coroutines(
    step: Step, arguments: Sequence[A], convert: Callable[[object], R | StepFailure]
) -> list[R | StepFailure]:
    """Return what ``convert`` makes of the value of each call, ``step.concurrency`` at a time."""
    results: list[R | StepFailure] = [_CANCELLED for _ in arguments]
    calls = iter(enumerate(arguments))
    count = min(max(step.concurrency, 1), len(arguments))
    callers = {_Caller(step, convert, calls, results) for _ in range(count)}
    look_s = max(step.timeout_s / _CHECKS_PER_TIMEOUT, _MIN_CHECK_INTERVAL_S)
    try:
        while callers:
            await asyncio.wait([caller.task for caller in callers], timeout=look_s)
            callers = {caller for caller in callers if not caller.task.done()}
            for late in [caller for caller in callers if caller.is_overdue]:
                late.abandon()
                callers.remove(late)
                callers.add(_Caller(step, convert, calls, results))
    finally:
        for caller in callers:
            caller.abandon()
        if callers:
            await asyncio.wait([caller.task for caller in callers], timeout=_GRACE_S)
    return results


class _Caller(Generic[A, R]):
    """Calls a step for its arguments sequentially, in its own task."""

    def __init__(
        self,
        step: Step,
        convert: Callable[[object], R | StepFailure],
        calls: Calls[A],
        results: list[R | StepFailure],
    ) -> None:
        self._step = step
        self._convert = convert
        self._results = results
        self._index = 0
        self._abandoned = False
        self._timeout = CoroutineTimeout()
        self.task = asyncio.create_task(self._work(calls))

    @property
    def is_overdue(self) -> bool:
        """Whether its call was cancelled some time ago, but still runs."""
        limit = self._timeout.timeout
        when = None if limit is None or not limit.expired() else limit.when()
        return when is not None and asyncio.get_running_loop().time() - when > _GRACE_S

    def abandon(self) -> None:
        """Stop waiting: its call has failed, and it starts no other call."""
        self._abandoned = True
        self._results[self._index] = timeout_failure(self._step.timeout_s, self._step.timeout_s)
        self.task.cancel()
        self.task.add_done_callback(_ignore_result)

    async def _work(self, calls: Calls[A]) -> None:
        current_timeout.set(self._timeout)
        for self._index, argument in calls:
            made = await self._call(argument)
            if self._abandoned:
                return
            self._results[self._index] = made

    async def _call(self, argument: A) -> R | StepFailure:
        began = time.perf_counter()
        limit = asyncio.timeout(self._step.timeout_s)
        try:
            async with limit:
                self._timeout.timeout = limit
                called = self._step.function(argument)
                return self._convert(
                    await (called if _is_coroutine(called) else _await_value(called))
                )
        except BaseException as error:
            if self._abandoned:
                raise
            _uncancel()  # by the step itself, as it seems
            took_s = time.perf_counter() - began
            return (
                timeout_failure(self._step.timeout_s, took_s)
                if limit.expired()
                else step_failure(error, took_s)
            )


def _is_coroutine(called: object) -> bool:
    return type(called) is CoroutineType


async def _await_value(called: Any) -> object:
    """Return what a call returns, or all that it yields, each taken as it is when it is yielded."""
    if not isinstance(called, AsyncIterable):
        return await called
    found: list[object] = []
    async for value in called:
        single = copied_result(value)
        found.append(value if single is None else single)
    return found


def _uncancel() -> None:
    task = asyncio.current_task()
    while task is not None and task.cancelling():
        task.uncancel()


def _ignore_result(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        task.exception()
