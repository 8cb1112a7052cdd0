"""A whole-batch step: called for no events never, and to blame for one event alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from busway import Event, Step
from busway.step import StepFailure
from step_run import run_steps

EVENTS = [Event(type="t", source="/s", id=f"e{n}", data={"n": n}) for n in range(8)]


def nothing(event: Event) -> None:
    return None


async def counted(events: list[Event]) -> list[dict[str, Any]]:
    assert events
    return [event.data for event in events]


def counted_plain(events: list[Event]) -> list[dict[str, Any]]:
    assert events
    return [event.data for event in events]


@pytest.mark.parametrize("function", [counted, counted_plain])
async def test_no_events_are_nothing_to_do(function: Callable[..., Any]) -> None:
    step = Step(function, batch=True)
    assert await run_steps([step], []) == []
    assert await run_steps([Step(nothing), step], EVENTS) == [[] for _ in EVENTS]
    assert await run_steps([Step(nothing), step, step], EVENTS[:1]) == [[]]


WRONG: list[tuple[object, str]] = [
    (None, "must return a list, not NoneType"),
    ({"n": 1}, "must return a list, not dict"),
    ("text", "must return a list, not str"),
    (b"bytes", "must return a list, not bytes"),
    (7, "must return a list, not int"),
    (EVENTS[0], "must return a list, not Event"),
    ([], "one result an event: 1, not 0"),
    ([{"n": 1}] * 9, "one result an event: 1, not more"),
]


@pytest.mark.parametrize(("value", "reason"), WRONG, ids=[reason for _, reason in WRONG])
@pytest.mark.parametrize("is_async", [False, True])
async def test_a_value_of_another_kind_fails_with_a_reason(
    value: object, reason: str, is_async: bool
) -> None:
    async def coroutine(events: list[Event]) -> object:
        await asyncio.sleep(0)
        return value

    function: Callable[..., Any] = coroutine if is_async else lambda events: value
    made = await run_steps([Step(function, batch=True)], EVENTS)
    assert len(made) == len(EVENTS)
    for one in made:
        assert isinstance(one, StepFailure)
        assert one.error == "WrongResult"
        assert reason in one.reason


async def test_the_event_that_fails_is_found_by_halves() -> None:
    sizes: list[int] = []

    def step(events: list[Event]) -> list[dict[str, Any]]:
        sizes.append(len(events))
        if any(event.data["n"] == 5 for event in events):
            raise ValueError("five")
        return [event.data for event in events]

    made = await run_steps([Step(step, batch=True)], EVENTS)
    assert [isinstance(one, StepFailure) for one in made] == [n == 5 for n in range(8)]
    assert sizes == [8, 4, 4, 2, 1, 1, 2]


async def test_a_value_that_fails_when_it_is_looked_at_is_one_events_failure() -> None:
    def values(event: Event) -> Any:
        yield event.data
        if event.data["n"] == 2:
            raise KeyError("two")

    calls: list[int] = []

    def step(events: list[Event]) -> list[Any]:
        calls.append(len(events))
        return [values(event) for event in events]

    made = await run_steps([Step(step, batch=True)], EVENTS)
    assert [isinstance(one, StepFailure) for one in made] == [n == 2 for n in range(8)]
    assert calls == [8]
