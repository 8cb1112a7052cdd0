"""Run the steps of a flow over a batch: each event has its own outcome, whatever happens."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from typing import Any

from busway.errors import EventError
from busway.event import Event
from busway.step.patience import TimeoutWatch, watching
from busway.step.result import as_event, failed, produced
from busway.step.step import Failed, Produced, Step
from busway.step.thread import run_in_thread


async def run_steps(steps: Sequence[Step], events: Sequence[Event]) -> list[Produced]:
    """Return what the steps made of each event, in order; without steps, the events themselves."""
    if not steps:
        return [[event] for event in events]
    found = await run_step(steps[0], events)
    for step in steps[1:]:
        found = await _next(step, events, found)
    return found


async def run_step(step: Step, events: Sequence[Event]) -> list[Produced]:
    """Return what one step made of each event, in order."""
    if step.batch:
        return await _run_batch(step, events)
    if step.is_async:
        return await _run_async(step, events)
    return await run_in_thread(step.function, events, step.timeout_s)


async def _next(step: Step, causes: Sequence[Event], found: Sequence[Produced]) -> list[Produced]:
    """Hand each result to the next step; one failure makes its cause fail."""
    inputs: list[Event] = []
    owners: list[int] = []
    results: list[Produced] = []
    for owner, (cause, made) in enumerate(zip(causes, found, strict=True)):
        chained = _chained(cause, made)
        results.append(chained if isinstance(chained, Failed) else [])
        if not isinstance(chained, Failed):
            inputs += chained
            owners += [owner] * len(chained)
    for owner, made in zip(owners, await run_step(step, inputs), strict=True):
        results[owner] = _joined(results[owner], made)
    return results


def _chained(cause: Event, made: Produced) -> list[Event] | Failed:
    if isinstance(made, Failed):
        return made
    try:
        return [as_event(cause, one) for one in made]
    except EventError as error:
        return failed(error)


def _joined(first: Produced, second: Produced) -> Produced:
    if isinstance(first, Failed):
        return first
    return second if isinstance(second, Failed) else first + second


async def _run_async(step: Step, events: Sequence[Event]) -> list[Produced]:
    """Call an ``async`` function for each event, ``concurrency`` of them at a time."""
    results: list[Produced] = [[] for _ in events]
    numbered = iter(enumerate(events))

    async def work() -> None:
        watch = TimeoutWatch()
        watching.set(watch)
        for index, event in numbered:
            results[index] = await _call_async(step, event, watch)

    async with asyncio.TaskGroup() as group:
        for _ in range(min(max(step.concurrency, 1), len(events))):
            group.create_task(work())
    return results


async def _call_async(step: Step, event: Event, watch: TimeoutWatch) -> Produced:
    began = time.perf_counter()
    try:
        async with asyncio.timeout(step.timeout_s) as limit:
            watch.limit = limit
            return produced(await step.function(event))
    except BaseException as error:
        took_s = time.perf_counter() - began
        return _raised(step, error, took_s, late=limit.expired())


def _raised(step: Step, error: BaseException, took_s: float, *, late: bool) -> Failed:
    """Return what an ``async`` step raised as a record, unless it is us who are cancelled."""
    task = asyncio.current_task()
    if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
        raise error
    if late:
        took_ms = round(took_s * 1000, 3)
        return Failed("StepTimeout", f"the step took over {step.timeout_s:g} s", None, took_ms)
    return failed(error, took_s)


async def _run_batch(step: Step, events: Sequence[Event]) -> list[Produced]:
    """Call a whole-batch function; where it fails for all, each event gets a call of its own."""
    made = await _call_batch(step, events)
    if isinstance(made, list):
        return made
    if len(events) == 1:
        return [made]
    found = [await _call_batch(step, [event]) for event in events]
    return [one if isinstance(one, Failed) else one[0] for one in found]


async def _call_batch(step: Step, events: Sequence[Event]) -> list[Produced] | Failed:
    if not step.is_async:
        return await _batch_in_thread(step, events)
    watch, began = TimeoutWatch(), time.perf_counter()
    watching.set(watch)
    try:
        async with asyncio.timeout(step.timeout_s) as limit:
            watch.limit = limit
            return _aligned(await step.function(list(events)), len(events))
    except BaseException as error:
        return _raised(step, error, time.perf_counter() - began, late=limit.expired())


async def _batch_in_thread(step: Step, events: Sequence[Event]) -> list[Produced] | Failed:
    kept: list[list[Produced] | Failed] = []

    def call(_: Event) -> None:
        kept.append(_aligned(step.function(list(events)), len(events)))

    outcome = await run_in_thread(call, events[:1], step.timeout_s)
    return outcome[0] if isinstance(outcome[0], Failed) else kept[0]


def _aligned(values: Iterable[Any], expected: int) -> list[Produced] | Failed:
    """Check that a whole-batch step gave one value an event."""
    listed = list(values)
    if len(listed) != expected:
        reason = f"a batch step must return one result an event: {expected}, not {len(listed)}"
        return Failed("WrongResult", reason)
    return [produced(value) for value in listed]
