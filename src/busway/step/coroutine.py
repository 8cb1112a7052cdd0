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

from busway.step.patience import TimeoutWatch, watching
from busway.step.result import failed, taken
from busway.step.step import Failed, Step, timed_out

A = TypeVar("A")
R = TypeVar("R")
Calls = Iterator[tuple[int, A]]
_LOOKS = 20
_SHORTEST_LOOK_S = 0.01
_GRACE_S = 0.05
"""How long a call that was cancelled may go on, before it is left."""
_UNDONE = Failed("CancelledError", "the step cancelled the task that called it")


async def run_coroutines(
    step: Step, arguments: Sequence[A], take: Callable[[object], R | Failed]
) -> list[R | Failed]:
    """Return what ``take`` makes of the value of each call, ``step.concurrency`` at a time."""
    results: list[R | Failed] = [_UNDONE for _ in arguments]
    calls = iter(enumerate(arguments))
    count = min(max(step.concurrency, 1), len(arguments))
    callers = {_Caller(step, take, calls, results) for _ in range(count)}
    look_s = max(step.timeout_s / _LOOKS, _SHORTEST_LOOK_S)
    try:
        while callers:
            await asyncio.wait([one.task for one in callers], timeout=look_s)
            callers = {one for one in callers if not one.task.done()}
            for late in [one for one in callers if one.is_overdue]:
                late.leave()
                callers.remove(late)
                callers.add(_Caller(step, take, calls, results))
    finally:
        for one in callers:
            one.leave()
        if callers:
            await asyncio.wait([one.task for one in callers], timeout=_GRACE_S)
    return results


class _Caller(Generic[A, R]):
    """Calls a step for one argument after the other, in a task of its own."""

    def __init__(
        self,
        step: Step,
        take: Callable[[object], R | Failed],
        calls: Calls[A],
        results: list[R | Failed],
    ) -> None:
        self._step = step
        self._take = take
        self._results = results
        self._index = 0
        self._left = False
        self._watch = TimeoutWatch()
        self.task = asyncio.create_task(self._work(calls))

    @property
    def is_overdue(self) -> bool:
        """Whether its call was cancelled some time ago, and goes on."""
        limit = self._watch.limit
        when = None if limit is None or not limit.expired() else limit.when()
        return when is not None and asyncio.get_running_loop().time() - when > _GRACE_S

    def leave(self) -> None:
        """Wait for it no more: its call has failed, and it begins no other one."""
        self._left = True
        self._results[self._index] = timed_out(self._step.timeout_s, self._step.timeout_s)
        self.task.cancel()
        self.task.add_done_callback(_ignored)

    async def _work(self, calls: Calls[A]) -> None:
        watching.set(self._watch)
        for self._index, argument in calls:
            made = await self._call(argument)
            if self._left:
                return
            self._results[self._index] = made

    async def _call(self, argument: A) -> R | Failed:
        began = time.perf_counter()
        limit = asyncio.timeout(self._step.timeout_s)
        try:
            async with limit:
                self._watch.limit = limit
                called = self._step.function(argument)
                return self._take(await (called if _is_plain(called) else _value(called)))
        except BaseException as error:
            if self._left:
                raise
            _uncancel()  # by the step itself, as it seems
            took_s = time.perf_counter() - began
            return (
                timed_out(self._step.timeout_s, took_s)
                if limit.expired()
                else failed(error, took_s)
            )


def _is_plain(called: object) -> bool:
    return type(called) is CoroutineType


async def _value(called: Any) -> object:
    """Return what a call returns, or all that it yields, each taken as it is when it is yielded."""
    if not isinstance(called, AsyncIterable):
        return await called
    found: list[object] = []
    async for value in called:
        single = taken(value)
        found.append(value if single is None else single)
    return found


def _uncancel() -> None:
    task = asyncio.current_task()
    while task is not None and task.cancelling():
        task.uncancel()


def _ignored(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        task.exception()
