"""Whatever a step raises becomes the record of that event, and of no other."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from busway import Event, Reject, Step
from busway.step import StepFailure
from command import DEADLINE_S
from step_run import run_steps

EVENTS = [Event(type="t", source="/s", id=f"e{n}", data=n) for n in range(3)]
LIMIT_S = 0.5
"""Short to wait for, and long for a quick call whose thread has to wait for a processor."""
RAISED: list[BaseException] = [
    ValueError("bad"),
    SystemExit(3),
    KeyboardInterrupt(),
    GeneratorExit(),
    asyncio.CancelledError(),
    StopIteration(),
    RecursionError(),
    MemoryError(),
    TimeoutError(),
    Reject("never"),
    ValueError("\ud800"),
]


def raising(error: BaseException) -> Callable[[Event], dict[str, Any]]:
    def step(event: Event) -> dict[str, Any]:
        if event.data == 1:
            raise error
        return {"n": event.data}

    return step


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
async def test_a_function_may_raise_anything(error: BaseException) -> None:
    before, bad, after = await run_steps([Step(raising(error))], EVENTS)
    assert (before, after) == ([{"n": 0}], [{"n": 2}])
    assert isinstance(bad, StepFailure)
    assert bad.error == type(error).__name__
    assert "raise error" in (bad.traceback or "")
    bad.reason.encode()


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
async def test_a_coroutine_may_raise_anything(error: BaseException) -> None:
    plain = raising(error)

    async def step(event: Event) -> dict[str, Any]:
        await asyncio.sleep(0)
        return plain(event)

    before, bad, after = await run_steps([Step(step)], EVENTS)
    assert (before, after) == ([{"n": 0}], [{"n": 2}])
    assert isinstance(bad, StepFailure)
    wanted = "RuntimeError" if isinstance(error, StopIteration) else type(error).__name__
    assert bad.error == wanted


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
async def test_a_batch_step_that_raises_fails_only_for_the_event_that_made_it(
    error: BaseException,
) -> None:
    plain = raising(error)

    def step(events: list[Event]) -> list[dict[str, Any]]:
        return [plain(event) for event in events]

    async def coroutine(events: list[Event]) -> list[dict[str, Any]]:
        await asyncio.sleep(0)
        return [plain(event) for event in events]

    for function in (step, coroutine):
        before, bad, after = await run_steps([Step(function, batch=True)], EVENTS)
        assert (before, after) == ([{"n": 0}], [{"n": 2}])
        assert isinstance(bad, StepFailure)


async def test_a_generator_that_raises_midway_gives_nothing() -> None:
    def step(event: Event) -> Iterator[dict[str, Any]]:
        yield {"n": event.data}
        if event.data == 1:
            raise KeyError("midway")
        yield {"n": event.data + 10}

    before, bad, after = await run_steps([Step(step)], EVENTS)
    assert before == [{"n": 0}, {"n": 10}]
    assert isinstance(bad, StepFailure)
    assert bad.error == "KeyError"
    assert after == [{"n": 2}, {"n": 12}]


@pytest.mark.parametrize(
    "value", [1, "text", b"bytes", object(), [1], [{"a": 1}, "text"], 1.5, True, type, [[{}]]]
)
async def test_rubbish_is_said_to_be_rubbish(value: object) -> None:
    (bad,) = await run_steps([Step(lambda event: value)], EVENTS[:1])
    assert isinstance(bad, StepFailure)
    assert bad.error == "WrongResult"
    assert "return None, a dict" in bad.reason


async def test_a_batch_step_that_returns_too_few_fails_for_all() -> None:
    made = await run_steps([Step(lambda events: events[:-1], batch=True)], EVENTS)
    assert [isinstance(one, StepFailure) and one.error for one in made] == ["WrongResult"] * 3


async def test_a_loop_that_never_ends_gets_the_timeout_raised_in_it() -> None:
    def step(event: Event) -> dict[str, Any]:
        while event.data == 1:
            pass
        return {"n": event.data}

    before, bad, after = await run_steps([Step(step, timeout_s=LIMIT_S)], EVENTS)
    assert (before, after) == ([{"n": 0}], [{"n": 2}])
    assert isinstance(bad, StepFailure)
    assert (bad.error, bad.reason) == ("StepTimeout", "the step took over 0.5 s")
    for thread in threading.enumerate():
        if thread.name == "busway-step":
            thread.join(DEADLINE_S)
            assert not thread.is_alive(), "it was left"


async def test_a_call_that_is_blocked_in_c_is_left_behind() -> None:
    lock = threading.Lock()

    def step(event: Event) -> dict[str, Any]:
        if event.data == 1:
            with lock:
                pass
        return {"n": event.data}

    with lock:
        before, bad, after = await run_steps([Step(step, timeout_s=LIMIT_S)], EVENTS)
    assert (before, after) == ([{"n": 0}], [{"n": 2}])
    assert isinstance(bad, StepFailure)
    assert bad.error == "StepTimeout"


async def test_a_step_that_catches_everything_is_left_behind() -> None:
    over = threading.Event()

    def step(event: Event) -> dict[str, Any]:
        while event.data == 1 and not over.is_set():
            try:
                time.sleep(0.001)
            except BaseException:
                continue
        return {"n": event.data}

    try:
        async with asyncio.timeout(DEADLINE_S):
            before, bad, after = await run_steps([Step(step, timeout_s=LIMIT_S)], EVENTS)
    finally:
        over.set()
    assert (before, after) == ([{"n": 0}], [{"n": 2}])
    assert isinstance(bad, StepFailure)
    assert bad.error == "StepTimeout"


async def test_a_coroutine_that_hangs_is_cancelled() -> None:
    async def step(event: Event) -> dict[str, Any]:
        if event.data == 1:
            await asyncio.Event().wait()
        return {"n": event.data}

    before, bad, after = await run_steps([Step(step, timeout_s=LIMIT_S)], EVENTS)
    assert (before, after) == ([{"n": 0}], [{"n": 2}])
    assert isinstance(bad, StepFailure)
    assert bad.error == "StepTimeout"


async def test_our_own_cancelling_goes_through() -> None:
    started = asyncio.Event()

    async def step(event: Event) -> None:
        started.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(run_steps([Step(step)], EVENTS))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_failure_in_a_later_step_makes_the_first_event_fail() -> None:
    def two(event: Event) -> list[dict[str, Any]]:
        return [{"n": event.data}, {"n": event.data + 100}]

    def not_101(event: Event) -> dict[str, Any]:
        if event.data["n"] == 101:
            raise ValueError("one of its two")
        return {"m": event.data["n"]}

    before, bad, after = await run_steps([Step(two), Step(not_101)], EVENTS)
    assert before == [{"m": 0}, {"m": 100}]
    assert isinstance(bad, StepFailure)
    assert after == [{"m": 2}, {"m": 102}]


def circle() -> dict[str, Any]:
    found: dict[str, Any] = {}
    found["self"] = found
    return found


@pytest.mark.parametrize("value", [circle(), {"o": object()}, {"s": "\ud800"}, {1: {2: object()}}])
async def test_what_json_cannot_say_fails_between_two_steps(value: dict[str, Any]) -> None:
    (bad,) = await run_steps([Step(lambda event: value), Step(lambda event: event)], EVENTS[:1])
    assert isinstance(bad, StepFailure)
    assert bad.error == "EventError"


async def test_a_module_that_a_step_misses_is_told_with_its_python() -> None:
    def importing(event: Event) -> None:
        import no_such_module_zq  # type: ignore[import-not-found]  # noqa: F401

    (found,) = await run_steps([Step(importing)], EVENTS[:1])
    assert isinstance(found, StepFailure)
    assert found.reason == "No module named 'no_such_module_zq'", "the root cause names no machine"
    assert f"in this Python, {sys.executable}; " in (found.traceback or "")
