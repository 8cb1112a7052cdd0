"""What set out before an operator resumed a destination says nothing of it as it is now."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from busway import Event
from busway.outcome import DELIVERED, Down, Gone, Outcome
from busway.ports import Load, LoadItem, SinkLane
from busway.runtime.admission.destination_guard import DestinationGuard
from busway.runtime.admission.opened_sink import OpenedSink
from busway.sinks import console
from busway.testing import ManualClock


class Slow:
    """A destination that answers each load when it is told to."""

    def __init__(self) -> None:
        self.answers: dict[int, asyncio.Future[Outcome]] = {}
        self.asked = asyncio.Event()

    async def write(self, load: Load) -> Sequence[Outcome]:
        answer = asyncio.get_running_loop().create_future()
        self.answers[load.items[0].offset] = answer
        self.asked.set()
        return [await answer]

    async def close(self) -> None:
        """Nothing is open."""


class World:
    """A gate, and the loads that are under way through it."""

    def __init__(self) -> None:
        self.slow = Slow()
        self.gate = DestinationGuard(OpenedSink(console(), self.slow), ManualClock())
        self._writing: list[asyncio.Task[Sequence[Outcome]]] = []

    async def set_out(self) -> int:
        """Have a load go, if one may; return its number."""
        assert self.gate.try_enter() is not None
        number = len(self._writing)
        self.slow.asked.clear()
        item = LoadItem(number, Event(type="t", source="/s"), (), "flow")
        self._writing.append(
            asyncio.create_task(self.gate.write(Load(SinkLane("l", "f", 0), [item])))
        )
        await self.slow.asked.wait()
        return number

    async def answer(self, number: int, outcome: Outcome) -> None:
        self.slow.answers[number].set_result(outcome)
        await self._writing[number]


@pytest.mark.parametrize("late", [Down("slow"), Down("slow", retry_after_s=60.0), Gone("http 410")])
@pytest.mark.parametrize("before", [Down("away"), Gone("http 410")])
async def test_an_answer_from_before_does_not_shut_it_again(before: Outcome, late: Outcome) -> None:
    world = World()
    first, second = await world.set_out(), await world.set_out()
    await world.answer(first, before)
    assert world.gate.try_enter() is None
    world.gate.resume()
    await world.answer(second, late)
    probe = await world.set_out()
    await world.answer(probe, DELIVERED)
    assert world.gate.is_closed


async def test_a_probe_from_before_is_followed_by_another_one_at_once() -> None:
    world = World()
    first = await world.set_out()
    await world.answer(first, Down("away"))
    world.gate.resume()
    probe = await world.set_out()
    world.gate.resume()
    assert world.gate.try_enter() is None, "one at a time"
    await world.answer(probe, Down("still away"))
    later = await world.set_out()
    await world.answer(later, Down("still away"))
    assert world.gate.try_enter() is None, "what set out after it counts"
    assert world.gate.breaker.reason == "still away"


async def test_an_answer_from_before_leaves_the_probe_alone() -> None:
    world = World()
    first, second = await world.set_out(), await world.set_out()
    await world.answer(first, Down("away"))
    world.gate.resume()
    probe = await world.set_out()
    await world.answer(second, Down("slow"))
    assert world.gate.try_enter() is None, "one at a time"
    await world.answer(probe, DELIVERED)
    assert world.gate.is_closed
