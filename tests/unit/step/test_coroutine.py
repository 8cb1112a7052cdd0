"""What an ``async`` step does to its task or with its cancellation hits no other event."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from busway import Event, Step
from busway.step import StepFailure
from command import DEADLINE_S
from step_run import run_steps

EVENTS = [Event(type="t", source="/s", id=f"e{n}", data={"n": n}) for n in range(3)]


def errors(made: Any) -> list[Any]:
    return [one.error if isinstance(one, StepFailure) else one for one in made]


@pytest.mark.parametrize("concurrency", [1, 16])
async def test_a_step_that_cancels_its_task_fails_that_event(concurrency: int) -> None:
    """It was taken for filtered, and the lane's loop ended where it was a batch."""

    async def step(event: Event) -> dict[str, Any]:
        task = asyncio.current_task()
        if event.data["n"] == 1 and task is not None:
            task.cancel()
            await asyncio.sleep(0)
        return event.data  # type: ignore[no-any-return]

    made = await run_steps([Step(step, concurrency=concurrency)], EVENTS)
    assert errors(made) == [[{"n": 0}], "CancelledError", [{"n": 2}]]

    async def of_all(events: list[Event]) -> list[dict[str, Any]]:
        return [await step(event) for event in events]

    made = await run_steps([Step(of_all, batch=True)], EVENTS)
    assert errors(made) == [[{"n": 0}], "CancelledError", [{"n": 2}]]


@pytest.mark.parametrize("concurrency", [1, 16])
async def test_a_step_that_catches_its_cancellation_is_left_behind(concurrency: int) -> None:
    over = asyncio.Event()

    async def step(event: Event) -> dict[str, Any]:
        while event.data["n"] == 1 and not over.is_set():
            try:
                await over.wait()
            except BaseException:
                continue
        return event.data  # type: ignore[no-any-return]

    try:
        async with asyncio.timeout(DEADLINE_S):
            limited = Step(step, timeout_s=0.3, concurrency=concurrency)
            made = await run_steps([limited], EVENTS)
    finally:
        over.set()
    assert errors(made) == [[{"n": 0}], "StepTimeout", [{"n": 2}]]
