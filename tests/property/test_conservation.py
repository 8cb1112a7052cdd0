"""Random events, failures, breakdowns, restarts and operators: every event is in one place."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Sequence

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from busway import App, Backoff, Event
from busway.control.dead_letter.command import (
    DeadLetterAction,
    DeadLetterCommand,
    apply_command,
)
from busway.control.dead_letter.selection import (
    DeadLetterSelection,
    select_dead_letters,
)
from busway.outcome import BLOCKED_BY_KEY, DELIVERED, Down, Outcome, Rejected, Retry
from busway.ports import Load, SinkContext
from effort import examples
from memory_node import MemoryNode

MOODS = ("good", "down", "unavailable", "some", "rejects")
COMMANDS = st.lists(
    st.one_of(
        st.tuples(st.just("post"), st.integers(1, 12)),
        st.tuples(st.just("again"), st.integers(1, 12)),
        st.tuples(st.just("mood"), st.sampled_from(MOODS)),
        st.tuples(st.just("turn"), st.integers(1, 40)),
        st.tuples(st.just("restart"), st.just(0)),
        st.tuples(st.just("redrive"), st.just(0)),
        st.tuples(st.just("discard"), st.just(0)),
    ),
    min_size=8,
    max_size=40,
)


class Place(msgspec.Struct, frozen=True):
    """A sink that keeps what landed in a list, and has moods."""

    name: str
    ordered: bool = False

    async def open(self, supplies: SinkContext) -> Moody:
        return WORLD[self.name]


class Moody:
    """The destination: it outlives restarts."""

    def __init__(self) -> None:
        self.mood = "good"
        self.delivered_range: list[tuple[str | None, int]] = []

    async def write(self, load: Load) -> Sequence[Outcome]:
        await asyncio.sleep(0)
        found: list[Outcome] = []
        failed: set[str | None] = set()
        for item in load.items:
            key = item.event.key
            outcome = BLOCKED_BY_KEY if load.ordered and key in failed else self._one(item.event)
            if outcome == DELIVERED:
                self.delivered_range.append((key, item.event.data))
            elif not isinstance(outcome, Rejected) and key is not None:
                failed.add(key)
            found.append(outcome)
        down = [one for one in found if isinstance(one, Down)]
        return [down[0]] * len(found) if down else found

    def _one(self, event: Event) -> Outcome:
        number = event.data
        match self.mood:
            case "down":
                return Down("refused")
            case "unavailable":
                return Down("503", reachable=True)
            case "some" if number % 3 == 0:
                return Retry("http 500", "some")
            case "rejects" if number % 5 == 0:
                return Rejected("http 400", "some")
        return DELIVERED

    async def close(self) -> None:
        """Nothing to close."""


WORLD: dict[str, Moody] = {}


def step(event: Event) -> Event | None:
    if event.data % 7 == 0 and event.attempt < 3:
        raise ConnectionError("not yet")
    if event.data % 31 == 30:
        raise ValueError("never")
    return None if event.data % 11 == 0 else event


async def coroutine(event: Event) -> Event | None:
    return step(event)


class Machine(MemoryNode):
    """Two flows, whose moods, operators and restarts come as commands."""

    def __init__(self) -> None:
        WORLD["plain"], WORLD["ordered"] = Moody(), Moody()
        policy = Backoff(first=1.0, factor=2.0, cap=8.0, attempts=4)
        app = App("t")
        for name in WORLD:
            to, ordered = Place(name), name == "ordered"
            app.flow(name, to=to, steps=[coroutine], retry=policy, ordered=ordered)
        super().__init__(app)

    async def do(self, command: str, value: object) -> None:
        match command, value:
            case "post", int(count):
                await self.post_next(count)
            case "again", int(count) if self.posted:
                await self.post(range(max(0, self.posted - count), self.posted))
            case "mood", str(mood):
                for place in WORLD.values():
                    place.mood = mood
            case "turn", int(seconds):
                await self.clock.advance(float(seconds))
            case "restart", _:
                await self.restart()
            case "redrive", _:
                await self.deal("redrive", 500)
            case "discard", _:
                await self.deal("discard", 1)

    async def deal(self, action: DeadLetterAction, most: int) -> None:
        found = await select_dead_letters(self.stores.ledger, DeadLetterSelection(), limit=most)
        await apply_command(
            self.control, found.failed_events, DeadLetterCommand(action=action, actor="ann")
        )

    async def settled(self) -> bool:
        flows = (await self.statuses()).values()
        return not any(flow.backlog or flow.parked for flow in flows)


async def play(commands: Sequence[tuple[str, object]]) -> None:
    machine = Machine()
    await machine.start()
    try:
        for command, value in commands:
            await machine.do(command, value)
            await machine.clock.advance(0.0)
            await machine.conserved()
        await machine.do("mood", "good")
        for _ in range(400):
            if await machine.settled():
                break
            await machine.do("turn", 1)
        await machine.conserved()
        assert await machine.settled(), await machine.statuses()
        for flow in (await machine.statuses()).values():
            counts = Counter(number for _, number in WORLD[flow.name].delivered_range)
            assert len(counts) == flow.delivered, "what is counted as delivered has landed"
            if not any(command == "restart" for command, _ in commands):
                assert set(counts.values()) <= {1}, "and once"
        if not any(command == "redrive" for command, _ in commands):
            in_order(WORLD["ordered"].delivered_range)
    finally:
        await machine.stop()


def in_order(landed: Sequence[tuple[str | None, int]]) -> None:
    """Check that the numbers of each key ascend, each where it landed first."""
    seen: defaultdict[str | None, list[int]] = defaultdict(list)
    for key, number in landed:
        if number not in seen[key]:
            seen[key].append(number)
    assert all(numbers == sorted(numbers) for numbers in seen.values()), seen


@settings(max_examples=examples(60), suppress_health_check=list(HealthCheck))
@given(COMMANDS)
def test_every_event_is_in_one_place_at_every_instant(
    commands: list[tuple[str, object]],
) -> None:
    asyncio.run(play(commands))
