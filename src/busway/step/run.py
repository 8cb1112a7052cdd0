"""Run the steps of a flow over a batch; each event has its own outcome."""

from __future__ import annotations

from collections.abc import Sequence

from busway.errors import EventError
from busway.event import Event, release_data
from busway.step.coroutine import run_coroutines
from busway.step.result import as_event, as_results, batch_results, step_failure
from busway.step.step import Step, StepFailure, StepResult
from busway.step.thread import run_in_thread
from busway.step.thread_pool import StepThreads


async def run_steps(
    steps: Sequence[Step], events: Sequence[Event], threads: StepThreads
) -> list[StepResult]:
    """Return the result of each event, in order; without steps, the events themselves."""
    if not steps:
        return [[event] for event in events]
    found = await run_step(steps[0], events, threads)
    for step in steps[1:]:
        found = await _run_next(step, events, found, threads)
    return found


async def run_step(step: Step, events: Sequence[Event], threads: StepThreads) -> list[StepResult]:
    """Return the result of one step for each event, in order; its changes to data are undone."""
    if not events:
        return []
    if step.batch:
        return await _run_batch(step, events, threads)
    if not step.is_async:
        return await run_in_thread(step.function, events, step.timeout_s, threads)
    made = await run_coroutines(step, events, as_results)
    _release(events)
    return made


async def _run_next(
    step: Step, causes: Sequence[Event], found: Sequence[StepResult], threads: StepThreads
) -> list[StepResult]:
    """Pass each result to the next step; a failure makes the original event fail."""
    inputs: list[Event] = []
    owners: list[int] = []
    results: list[StepResult] = []
    for owner, (cause, made) in enumerate(zip(causes, found, strict=True)):
        chained = _next_inputs(cause, made)
        results.append(chained if isinstance(chained, StepFailure) else [])
        if not isinstance(chained, StepFailure):
            inputs += chained
            owners += [owner] * len(chained)
    for owner, made in zip(owners, await run_step(step, inputs, threads), strict=True):
        results[owner] = _merged(results[owner], made)
    return results


def _next_inputs(cause: Event, made: StepResult) -> list[Event] | StepFailure:
    if isinstance(made, StepFailure):
        return made
    try:
        return [as_event(cause, one) for one in made]
    except EventError as error:
        return step_failure(error)


def _merged(first: StepResult, second: StepResult) -> StepResult:
    if isinstance(first, StepFailure):
        return first
    return second if isinstance(second, StepFailure) else first + second


async def _run_batch(step: Step, events: Sequence[Event], threads: StepThreads) -> list[StepResult]:
    """Call a whole-batch function; if it fails for the batch, call it for each half."""
    made = await _call_batch(step, events, threads)
    _release(events)
    if isinstance(made, list):
        return made
    if len(events) == 1:
        return [made]
    middle = len(events) // 2
    first = await _run_batch(step, events[:middle], threads)
    return first + await _run_batch(step, events[middle:], threads)


async def _call_batch(
    step: Step, events: Sequence[Event], threads: StepThreads
) -> list[StepResult] | StepFailure:
    count = len(events)
    if step.is_async:
        (made,) = await run_coroutines(
            step, [list(events)], lambda value: batch_results(value, count)
        )
        return made
    kept: list[list[StepResult] | StepFailure] = []

    def call(_: Event) -> None:
        kept.append(batch_results(step.function(list(events)), count))

    (outcome,) = await run_in_thread(call, events[:1], step.timeout_s, threads)
    return outcome if isinstance(outcome, StepFailure) else kept[0]


def _release(events: Sequence[Event]) -> None:
    for event in events:
        release_data(event)
