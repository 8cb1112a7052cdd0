"""What a step returned is what is delivered: taken when it is yielded, whatever comes after."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from busway import Event, Step
from busway.step import StepFailure
from busway.step.result import independent_copy
from step_run import run_steps

Steps = list[Step]
EVENTS = [Event(type="t", source="/s", id=f"e{n}", data={"n": n}) for n in range(3)]
SHARED: dict[str, Any] = {}


def rows(event: Event) -> Iterator[dict[str, Any]]:
    row: dict[str, Any] = {"inner": []}
    for position in range(3):
        row["position"] = position
        row["inner"].append(position)
        yield row


async def rows_async(event: Event) -> AsyncIterator[dict[str, Any]]:
    for row in rows(event):
        yield row


def rows_of_all(events: list[Event]) -> Iterator[Iterator[dict[str, Any]]]:
    return (rows(event) for event in events)


async def rows_of_all_async(events: list[Event]) -> AsyncIterator[Iterator[dict[str, Any]]]:
    for event in events:
        yield rows(event)


WAYS = [
    Step(rows),
    Step(rows_async),
    Step(rows_of_all, batch=True),
    Step(rows_of_all_async, batch=True),
]
EACH = [{"inner": list(range(n + 1)), "position": n} for n in range(3)]


@pytest.mark.parametrize("step", WAYS, ids=lambda step: step.name)
async def test_one_dict_yielded_three_times_is_three_results(step: Step) -> None:
    assert await run_steps([step], EVENTS[:2]) == [EACH, EACH]


async def test_one_event_yielded_three_times_is_three_events() -> None:
    def step(event: Event) -> Iterator[Event]:
        for total in range(3):
            event.data["total"] = total
            yield event

    (made,) = await run_steps([Step(step)], EVENTS[:1])
    assert isinstance(made, list)
    assert [one.data for one in made if isinstance(one, Event)] == [
        {"n": 0, "total": total} for total in range(3)
    ]


def constant(event: Event) -> dict[str, Any]:
    SHARED["n"] = event.data["n"]
    return SHARED


async def constant_async(event: Event) -> dict[str, Any]:
    return constant(event)


@pytest.mark.parametrize("function", [constant, constant_async])
async def test_a_constant_that_each_call_changes_is_what_it_was(function: Any) -> None:
    made = await run_steps([Step(function, concurrency=1)], EVENTS)
    assert made == [[{"n": 0}], [{"n": 1}], [{"n": 2}]]


def changed(event: Event) -> Event:
    event.data["total"] = 5
    return event


async def changed_async(event: Event) -> Event:
    return changed(event)


def changed_all(events: list[Event]) -> list[Event]:
    return [changed(event) for event in events]


async def changed_all_async(events: list[Event]) -> list[Event]:
    return changed_all(events)


CHANGES = [
    Step(changed),
    Step(changed_async),
    Step(changed_all, batch=True),
    Step(changed_all_async, batch=True),
]


@pytest.mark.parametrize("more", [[], [Step(lambda event: event)]], ids=["alone", "in a row"])
@pytest.mark.parametrize("step", CHANGES, ids=lambda step: step.name)
async def test_data_changed_where_it_stands_is_delivered(step: Step, more: Steps) -> None:
    (made,) = await run_steps([step, *more], EVENTS[:1])
    assert isinstance(made, list)
    (result,) = made
    assert isinstance(result, Event)
    assert result.data == {"n": 0, "total": 5}
    assert Event.from_json(result.to_json()).data == {"n": 0, "total": 5}


@pytest.mark.parametrize("result", [lambda event: None, lambda event: {"x": 1}, 1])
@pytest.mark.parametrize("batch", [False, True])
async def test_no_other_call_sees_what_one_did_to_an_event(result: Any, batch: bool) -> None:
    """A retry, another flow, the next step: each begins with the event as it came."""

    def one(event: Event) -> Any:
        event.data.clear()
        return result(event)

    def step(given: Any) -> Any:
        return [one(event) for event in given] if batch else one(given)

    await run_steps([Step(step, batch=batch)], EVENTS[:1])
    assert EVENTS[0].data == {"n": 0}


async def test_what_a_batch_call_changed_is_undone_before_its_halves_are_called() -> None:
    def step(events: list[Event]) -> list[Event]:
        for event in events:
            event.data["calls"] = event.data.get("calls", 0) + 1
        if any(event.data["n"] == 1 for event in events):
            raise ValueError("one of them")
        return events

    made = await run_steps([Step(step, batch=True)], EVENTS)
    data = [one[0].data if isinstance(one, list) else one.error for one in made]  # type: ignore[attr-defined]
    assert data == [{"n": 0, "calls": 1}, "ValueError", {"n": 2, "calls": 1}]


def circle() -> dict[str, Any]:
    found: dict[str, Any] = {}
    found["self"] = [found]
    return found


NOT_TAKEN: list[tuple[Callable[[], Any], str]] = [
    (circle, "'self' contains itself"),
    (lambda: {"x": (n for n in range(3))}, "'x' is of type generator"),
    (lambda: {"x": [{"y": {1.5: 1, "1.5": 2}}]}, "the keys 1.5 and '1.5' are equal in JSON"),
]


@pytest.mark.parametrize(("made", "reason"), NOT_TAKEN, ids=[reason for _, reason in NOT_TAKEN])
@pytest.mark.parametrize("batch", [False, True])
async def test_what_cannot_be_taken_fails_for_its_event_alone(
    made: Callable[[], Any], reason: str, batch: bool
) -> None:
    def one(event: Event) -> Any:
        return made() if event.data["n"] == 1 else {"n": event.data["n"]}

    def step(given: Any) -> Any:
        return [one(event) for event in given] if batch else one(given)

    before, bad, after = await run_steps([Step(step, batch=batch)], EVENTS)
    assert (before, after) == ([{"n": 0}], [{"n": 2}])
    assert isinstance(bad, StepFailure)
    assert bad.error == "EventError"
    assert reason in bad.reason


@pytest.mark.parametrize("value", [object(), math.nan, "\ud800", {1: 2, "1": 3}])
async def test_data_that_json_cannot_say_fails_for_its_event(value: object) -> None:
    def step(event: Event) -> Event:
        event.data["n"] = value if event.data["n"] == 1 else 0
        return event

    before, bad, _ = await run_steps([Step(step)], EVENTS)
    assert isinstance(before, list)
    assert isinstance(bad, StepFailure)
    assert bad.error == "EventError"


async def test_keys_that_are_the_same_in_json_fail_between_two_steps() -> None:
    made = await run_steps([Step(lambda event: {1: 2, "1": 3}), Step(lambda event: event)], EVENTS)
    assert {one.error for one in made if isinstance(one, StepFailure)} == {"EventError"}
    assert len(made) == len([one for one in made if isinstance(one, StepFailure)])


@dataclass
class Point:
    x: int


def test_a_copy_has_the_values_as_they_are_of_their_types() -> None:
    row = {
        "text": "x",
        "amount": Decimal("1.10"),
        "at": datetime(2026, 1, 2, tzinfo=UTC),
        "set": {1},
        "tuple": (1, [2]),
        "raw": bytearray(b"x"),
        "point": Point(1),
        "tree": {"list": [1, {"amount": Decimal("1.10"), 1: b"x"}]},
        "ordered": OrderedDict(a=[1]),
    }
    copy = independent_copy(row)
    assert copy == row
    assert [type(one) for one in copy.values()] == [type(one) for one in row.values()]
    row["set"].add(2)  # type: ignore[attr-defined]
    row["tuple"][1].append(3)  # type: ignore[index]
    row["raw"].extend(b"y")  # type: ignore[attr-defined]
    row["point"].x = 9  # type: ignore[attr-defined]
    row["tree"]["list"][1][1] = b"y"  # type: ignore[index]
    row["ordered"]["a"].append(2)  # type: ignore[index]
    assert copy["set"] == {1}
    assert copy["tuple"] == (1, [2])
    assert copy["raw"] == b"x"
    assert copy["point"] == Point(1)
    assert copy["tree"]["list"][1][1] == b"x"
    assert copy["ordered"] == {"a": [1]}
