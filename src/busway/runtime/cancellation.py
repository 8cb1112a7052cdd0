"""Is it we who are to end, or has something that we called raised what looks like it?"""

from __future__ import annotations

import asyncio


def is_cancellation(error: BaseException) -> bool:
    """Say whether an exception ends the task that runs: it was cancelled, or is thrown away.

    What a step or a sink raises by itself, be it ``CancelledError`` or ``GeneratorExit``, does not.
    """
    if isinstance(error, GeneratorExit):
        return _current_task() is None  # a coroutine is closed outside of its task
    task = _current_task()
    return isinstance(error, asyncio.CancelledError) and (task is None or task.cancelling() > 0)


def _current_task() -> asyncio.Task[object] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None
