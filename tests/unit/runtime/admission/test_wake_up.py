"""Lanes that wait for a destination are woken by a change of its state, not by each answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from busway import Event
from busway.outcome import DELIVERED, Down, Outcome, RateLimited
from busway.ports import Load, LoadItem, SinkLane
from busway.runtime.admission.destination_guard import DestinationGuard
from busway.runtime.admission.opened_sink import OpenedSink
from busway.sinks import console
from busway.testing import ManualClock

LANES = 20
LIMITED = RateLimited("http 429", "too many requests", retry_after_s=60.0)


class CountingClock(ManualClock):
    """Counts the sleeps: a lane that is woken and still has to wait sleeps once more."""

    sleeps = 0

    async def sleep(self, seconds: float) -> None:
        self.sleeps += 1
        await super().sleep(seconds)


class Answering:
    """A destination that answers each load with the outcome it was given."""

    outcome: Outcome = DELIVERED

    async def write(self, load: Load) -> Sequence[Outcome]:
        return [self.outcome] * len(load.items)

    async def close(self) -> None:
        """Nothing is open."""


class World:
    """Lanes that wait for a destination."""

    def __init__(self) -> None:
        self.clock = CountingClock()
        self.destination = Answering()
        self.guard = DestinationGuard(OpenedSink(console(), self.destination), self.clock)
        self.waiting: list[asyncio.Task[None]] = []
        self._offset = 0

    async def answer(self, outcome: Outcome) -> None:
        """Have a load that was sent before anything changed answered."""
        self.destination.outcome = outcome
        self._offset += 1
        item = LoadItem(self._offset, Event(type="t", source="/s"), (), "flow")
        await self.guard.write(Load(SinkLane("l", "f", 0), [item]))
        await self.clock.advance(0.0)

    async def wait(self) -> None:
        """Have the lanes wait for the destination."""
        self.waiting = [asyncio.create_task(self.guard.wait_callable()) for _ in range(LANES)]
        await self.clock.advance(0.0)
        assert self.clock.sleeps == LANES, "all of them wait"

    @property
    def admitted(self) -> int:
        return sum(task.done() for task in self.waiting)


async def test_a_success_wakes_no_lane_that_has_to_wait_on() -> None:
    world = World()
    while not world.guard.rate_limit.blocked_until:
        await world.answer(LIMITED)
    await world.wait()
    for _ in range(50):
        await world.answer(DELIVERED)
    assert world.clock.sleeps == LANES, "nothing changed for them"
    await world.clock.advance(60.0)
    assert world.admitted == LANES


async def test_a_resume_wakes_lanes_that_wait_for_a_rate_limit() -> None:
    world = World()
    while not world.guard.rate_limit.blocked_until:
        await world.answer(LIMITED)
    await world.wait()
    world.guard.resume()
    await world.clock.advance(0.0)
    assert world.admitted == LANES


async def test_a_destination_that_is_back_wakes_each_lane_once() -> None:
    world = World()
    await world.answer(Down("refused"))
    await world.wait()
    await world.answer(DELIVERED)
    assert world.admitted == LANES
    assert world.clock.sleeps == LANES


async def test_a_probe_that_is_yielded_wakes_the_lanes() -> None:
    world = World()
    await world.answer(Down("refused"))
    await world.clock.advance(3600.0)
    assert world.guard.try_enter() is True
    waiting = [asyncio.create_task(world.guard.wait_callable()) for _ in range(LANES)]
    await world.clock.advance(0.0)
    assert not any(task.done() for task in waiting), "one probe at a time"
    world.guard.yield_probe()
    await world.clock.advance(0.0)
    assert all(task.done() for task in waiting)


async def test_the_end_of_a_pause_after_single_failures_wakes_the_lanes() -> None:
    world = World()
    unavailable = Down("http 503", reachable=True, error="http 503")
    await world.answer(unavailable)
    assert world.guard.is_closed
    assert world.guard.wait_s() != 0.0, "the only event that fails is tried again after a pause"
    await world.wait()
    await world.answer(DELIVERED)
    assert world.admitted == LANES
