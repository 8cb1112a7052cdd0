"""An interruption that arrives late must not shift results to other events, nor end a thread."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from busway import Event, Step
from busway.step import StepFailure, StepThreads
from busway.step.step import StepResult, StepTimeout
from busway.step.thread import ThreadRun
from step_run import run_in_thread, run_steps

EVENTS = [Event(type="t", source="/s", id=f"e{n}", data={"n": n}) for n in range(4)]


class Interrupted(list[StepResult]):
    """Results, where an interruption arrives right after the second of them was kept."""

    def append(self, value: StepResult, /) -> None:
        super().append(value)
        if len(self) == 2:
            raise StepTimeout


async def test_an_interruption_after_a_call_leaves_its_result_where_it_belongs() -> None:
    run = ThreadRun(lambda event: {"n": event.data["n"]}, EVENTS)
    run.results = Interrupted()
    run.start(StepThreads(idle_timeout_s=0.0))
    await run.done
    assert run.results == [[{"n": 0}], [{"n": 1}]]


async def test_an_interruption_that_the_last_call_catches_ends_no_thread() -> None:
    caught: list[object] = []
    monitored: list[object] = []
    hook, threading.excepthook = threading.excepthook, monitored.append

    def step(event: Event) -> Any:
        try:
            while event.data["n"] == 3:
                pass
        except BaseException as error:
            caught.append(error)
        return event.data

    try:
        made = await run_in_thread(step, EVENTS, 0.3)
    finally:
        threading.excepthook = hook
    assert made[:3] == [[{"n": n}] for n in range(3)]
    assert made[3] == [{"n": 3}] or isinstance(made[3], StepFailure), "it may be too late"
    assert len(caught) == 1
    assert monitored == []


async def test_what_a_call_that_is_interrupted_makes_of_its_exception_is_a_timeout() -> None:
    def step(event: Event) -> Any:
        try:
            while event.data["n"] == 1:
                pass
        except BaseException as error:
            raise ValueError("wrapped") from error
        return event.data

    made = await run_steps([Step(step, timeout_s=0.3)], EVENTS)
    assert [one.error if isinstance(one, StepFailure) else one for one in made] == [
        [{"n": 0}],
        "StepTimeout",
        [{"n": 2}],
        [{"n": 3}],
    ]


async def test_a_step_that_raises_the_timeout_by_itself_fails_that_event_alone() -> None:
    def step(event: Event) -> Any:
        if event.data["n"] == 1:
            raise StepTimeout
        return event.data

    made = await run_steps([Step(step)], EVENTS)
    assert [isinstance(one, StepFailure) for one in made] == [False, True, False, False]


@pytest.mark.parametrize("blocked", [True, False], ids=["in C", "in Python"])
async def test_a_call_gets_its_limit_once(blocked: bool) -> None:
    """It took twice the limit where the interruption did not help."""
    lock = threading.Lock()

    def step(event: Event) -> None:
        with lock if blocked else threading.Lock():
            while True:
                pass

    with lock:
        (made,) = await run_steps([Step(step, timeout_s=0.4)], EVENTS[:1])
    assert isinstance(made, StepFailure)
    assert made.took_ms is not None
    assert 400 <= made.took_ms <= 480
