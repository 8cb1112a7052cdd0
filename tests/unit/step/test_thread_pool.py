"""Runs share threads, one after the other; a run that hangs keeps its thread to itself."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import closing
from contextvars import ContextVar
from typing import Any

import pytest

from busway import Event, Step
from busway.step import StepFailure, StepThreads, run_steps

EVENTS = [Event(type="t", source="/s", id=f"e{n}", data={"n": n}) for n in range(3)]
RUNS = 200


def step_threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "busway-step"}


@pytest.fixture
def threads() -> Iterator[StepThreads]:
    with closing(StepThreads()) as threads:
        yield threads


class Recorder:
    """A step that records the threads that it ran in."""

    def __init__(self) -> None:
        self.ran_in: set[threading.Thread] = set()

    def __call__(self, event: Event) -> Any:
        self.ran_in.add(threading.current_thread())
        return event.data


async def test_runs_one_after_the_other_share_one_thread(threads: StepThreads) -> None:
    step = Recorder()
    for _ in range(RUNS):
        assert await run_steps([Step(step)], EVENTS, threads) == [[{"n": n}] for n in range(3)]
    assert len(step.ran_in) == 1


async def test_a_process_that_runs_no_step_in_a_thread_has_none(threads: StepThreads) -> None:
    before = step_threads()

    async def step(event: Event) -> Any:
        return event.data

    await run_steps([Step(step)], EVENTS, threads)
    assert step_threads() == before


async def test_runs_at_the_same_time_have_a_thread_each(threads: StepThreads) -> None:
    step, together = Recorder(), threading.Barrier(4)

    def meet(event: Event) -> Any:
        together.wait()
        return step(event)

    for _ in range(5):
        await asyncio.gather(*(run_steps([Step(meet)], EVENTS[:1], threads) for _ in range(4)))
    assert len(step.ran_in) == 4


async def test_a_run_that_hangs_keeps_its_thread_and_blocks_no_other(threads: StepThreads) -> None:
    step, lock = Recorder(), threading.Lock()

    def hang(event: Event) -> Any:
        step(event)
        with lock:
            return event.data

    with lock:
        (made,) = await run_steps([Step(hang, timeout_s=0.1)], EVENTS[:1], threads)
        assert isinstance(made, StepFailure)
        (hanging,) = step.ran_in
        step.ran_in.clear()
        for _ in range(RUNS):
            await run_steps([Step(step)], EVENTS, threads)
        assert len(step.ran_in) == 1
        assert hanging not in step.ran_in
        assert hanging.is_alive()
    hanging.join(10.0)
    assert not hanging.is_alive(), "it is not used again"


async def test_a_thread_that_was_interrupted_is_not_used_again(threads: StepThreads) -> None:
    step = Recorder()

    def loop_forever(event: Event) -> Any:
        step(event)
        while True:
            pass

    await run_steps([Step(loop_forever, timeout_s=0.1)], EVENTS[:1], threads)
    (interrupted,) = step.ran_in
    await run_steps([Step(step)], EVENTS, threads)
    assert len(step.ran_in) == 2
    interrupted.join(10.0)
    assert not interrupted.is_alive()


async def test_a_run_does_not_see_the_context_of_the_run_before(threads: StepThreads) -> None:
    seen: list[str] = []
    variable: ContextVar[str] = ContextVar("variable", default="unset")

    def step(event: Event) -> Any:
        seen.append(variable.get())
        variable.set("set")
        return event.data

    for _ in range(2):
        await run_steps([Step(step)], EVENTS[:1], threads)
    assert seen == ["unset", "unset"]


@pytest.mark.parametrize("close", [True, False])
async def test_idle_threads_end(close: bool) -> None:
    step = Recorder()
    threads = StepThreads(idle_timeout_s=600.0 if close else 0.0)
    await run_steps([Step(step)], EVENTS, threads)
    if close:
        threads.close()
    (thread,) = step.ran_in
    thread.join(10.0)
    assert not thread.is_alive()
    await run_steps([Step(step)], EVENTS, threads)
    assert len(step.ran_in) == 2, "another one is started"
    threads.close()
