"""Run the steps of a flow over a batch: each event has its own outcome, whatever happens."""

from __future__ import annotations

from collections.abc import Sequence

from busway.errors import EventError
from busway.event import Event, release
from busway.step.coroutine import run_coroutines
from busway.step.result import aligned, as_event, failed, produced
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
    """Return what one step made of each event, in order; what it did to their data is undone."""
    if not events:
        return []
    if step.batch:
        return await _run_batch(step, events)
    if not step.is_async:
        return await run_in_thread(step.function, events, step.timeout_s)
    made = await run_coroutines(step, events, produced)
    _release(events)
    return made


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


async def _run_batch(step: Step, events: Sequence[Event]) -> list[Produced]:
    """Call a whole-batch function; where it fails for all, it is called for each half."""
    made = await _call_batch(step, events)
    _release(events)
    if isinstance(made, list):
        return made
    if len(events) == 1:
        return [made]
    middle = len(events) // 2
    first = await _run_batch(step, events[:middle])
    return first + await _run_batch(step, events[middle:])


async def _call_batch(step: Step, events: Sequence[Event]) -> list[Produced] | Failed:
    count = len(events)
    if step.is_async:
        (made,) = await run_coroutines(step, [list(events)], lambda value: aligned(value, count))
        return made
    kept: list[list[Produced] | Failed] = []

    def call(_: Event) -> None:
        kept.append(aligned(step.function(list(events)), count))

    (outcome,) = await run_in_thread(call, events[:1], step.timeout_s)
    return outcome if isinstance(outcome, Failed) else kept[0]


def _release(events: Sequence[Event]) -> None:
    for event in events:
        release(event)
