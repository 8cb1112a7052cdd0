"""Run steps as a lane does, in threads that end with the run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any

from busway import Event
from busway.step import Step, StepResult, StepThreads
from busway.step import run_steps as run_steps_in
from busway.step.thread import run_in_thread as run_in_one_of


async def run_steps(steps: Sequence[Step], events: Sequence[Event]) -> list[StepResult]:
    with closing(StepThreads()) as threads:
        return await run_steps_in(steps, events, threads)


async def run_in_thread(
    function: Callable[[Event], Any], events: Sequence[Event], timeout_s: float
) -> list[StepResult]:
    with closing(StepThreads()) as threads:
        return await run_in_one_of(function, events, timeout_s, threads)
