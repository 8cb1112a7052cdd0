"""Random pauses, drains, windows, throttles, breakdowns and restarts: held means held, and in the
end every event is delivered once."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Sequence

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from busway import App, Backoff, Window
from busway.control.flow.status import FlowStatus
from busway.control.operator_control import operation as steer
from busway.control.operator_control.operation import ControlCommand
from busway.control.operator_control.record import ControlTarget
from busway.errors import Conflict
from busway.outcome import DELIVERED, NOT_ATTEMPTED, Down, Outcome, Retry
from busway.ports import Load, SinkContext
from effort import examples
from memory_node import MemoryNode

FLOWS = ("a", "b", "c")
TARGETS = (*(ControlTarget("flow", name) for name in FLOWS), ControlTarget("destination", "shared"))
ORDER = ControlCommand("ann")
WINDOWS = (Window("*/5 * * * *", "2m"), Window("0,1 0 * * *", "90s", "Europe/Berlin"))

targets = st.sampled_from(TARGETS)
COMMANDS = st.lists(
    st.one_of(
        st.tuples(st.just("post"), st.integers(1, 12)),
        st.tuples(st.just("mood"), st.sampled_from(["good", "down", "some"])),
        st.tuples(st.just("turn"), st.integers(1, 1_400)),
        st.tuples(st.just("restart"), st.just(0)),
        st.tuples(st.sampled_from(["pause", "pause 60s", "resume", "drain", "skip"]), targets),
        st.tuples(st.sampled_from(["throttle", "unthrottle", "window"]), targets),
    ),
    min_size=5,
    max_size=30,
)


class Place(msgspec.Struct, frozen=True):
    """A sink that two flows share, and one that a third has for itself; it takes permits."""

    name: str
    concurrency: int = 2
    takes_permits: bool = True

    async def open(self, supplies: SinkContext) -> Moody:
        return WORLD[self.name]


class Moody:
    """The destination: it outlives restarts, and asks for a permit for each event."""

    def __init__(self) -> None:
        self.mood = "good"
        self.delivered_range: Counter[tuple[str, int]] = Counter()

    async def write(self, load: Load) -> Sequence[Outcome]:
        found: list[Outcome] = []
        assert load.permits is not None
        for item in load.items:
            if not await load.permits.acquire():
                return [*found, *[NOT_ATTEMPTED] * (len(load.items) - len(found))]
            await asyncio.sleep(0)
            found.append(self._one(item.flow, item.event.data))
            load.permits.release()
        return found

    def _one(self, flow: str, number: int) -> Outcome:
        if self.mood == "down":
            return Down("refused")
        if self.mood == "some" and number % 3 == 0:
            return Retry("http 500", "some")
        self.delivered_range[flow, number] += 1
        return DELIVERED

    async def close(self) -> None:
        """Nothing to close."""


WORLD: dict[str, Moody] = {}


class Machine(MemoryNode):
    """Three flows with two destinations, whose moods, holds and restarts come as commands."""

    def __init__(self) -> None:
        WORLD["shared"], WORLD["own"] = Moody(), Moody()
        policy = Backoff(first=1.0, factor=2.0, cap=8.0, attempts=100_000)
        app = App("t")
        for name in FLOWS:
            app.flow(name, to=Place("own" if name == "c" else "shared"), retry=policy)
        super().__init__(app)

    async def do(self, command: str, value: object) -> None:
        match command, value:
            case "post", int(count):
                await self.post_next(count)
            case "mood", str(mood):
                for place in WORLD.values():
                    place.mood = mood
            case "turn", int(seconds):
                await self.clock.advance(seconds / 7)
            case "restart", _:
                await self.restart()
            case _, ControlTarget() as target:
                await self.steer(command, target)

    async def steer(self, command: str, target: ControlTarget) -> None:
        control = self.control
        match command:
            case "throttle":
                await steer.throttle(control, target, ORDER, "1/s", "1")
            case "unthrottle":
                await steer.unthrottle(control, target, ORDER)
            case "window":
                for window in WINDOWS:
                    await steer.add_window(control, target, ORDER, window)
            case "skip":
                with contextlib.suppress(Conflict):
                    await steer.skip_windows(control, target, ORDER)
            case _:
                await self.hold(command, target)

    async def hold(self, command: str, target: ControlTarget) -> None:
        match command:
            case "pause":
                await steer.pause(self.control, target, ORDER)
            case "pause 60s":
                until = steer.pause_end(self.clock.now(), "60s", None)
                await steer.pause(self.control, target, ORDER, until)
            case "resume":
                await steer.resume(self.control, target, ORDER)
            case "drain":
                await steer.drain(self.control, target, ORDER)

    def landed(self, flow: str) -> int:
        counts = WORLD["own" if flow == "c" else "shared"].delivered_range
        return sum(count for (name, _), count in counts.items() if name == flow)


async def play(commands: Sequence[tuple[str, object]]) -> None:
    machine = Machine()
    await machine.start()
    try:
        for command, value in commands:
            await machine.clock.advance(0.0)
            before = await machine.statuses()
            landed = {name: machine.landed(name) for name in FLOWS}
            await machine.do(command, value)
            if command in ("post", "mood", "turn", "restart"):
                held(machine, before, landed)
            await machine.clock.advance(0.0)
            await machine.conserved()
        await machine.do("mood", "good")
        for target in TARGETS:
            for window in WINDOWS:
                await steer.add_window(machine.control, target, ORDER, window)
                await steer.remove_window(machine.control, target, ORDER, window.id)
            await machine.steer("unthrottle", target)
            await machine.steer("resume", target)
        await machine.clock.advance(200.0)
        await machine.conserved()
        for name, status in (await machine.statuses()).items():
            assert status.delivered == machine.posted
            assert status.state in ("running", "starting")  # nobody has tried it since a restart
            assert machine.landed(name) == machine.posted
        assert all(
            count == 1 for place in WORLD.values() for count in place.delivered_range.values()
        )
    finally:
        await machine.stop()


def held(machine: Machine, before: dict[str, FlowStatus], landed: dict[str, int]) -> None:
    """Check that nothing landed of a flow that was held all the time."""
    for name, status in before.items():
        still = status.until is None or machine.clock.now() < status.until
        if status.state in ("paused", "window") and still:
            assert machine.landed(name) == landed[name], f"{name} is held"


@settings(max_examples=examples(20), print_blob=True)
@given(COMMANDS)
def test_held_is_held_and_in_the_end_all_is_delivered_once(
    commands: list[tuple[str, object]],
) -> None:
    asyncio.run(play(commands))


async def test_a_drain_delivers_what_was_there_and_no_more() -> None:
    machine = Machine()
    await machine.start()
    try:
        await machine.do("mood", "some")
        await machine.do("post", 50)
        for target in TARGETS[2:]:
            await machine.steer("drain", target)
        await machine.do("post", 30)
        await machine.do("turn", 35)
        await machine.do("mood", "good")
        await machine.do("turn", 210)
        statuses = await machine.statuses()
        assert [one.state for one in statuses.values()] == ["paused"] * 3
        assert [one.delivered for one in statuses.values()] == [50] * 3
        assert [one.backlog for one in statuses.values()] == [30] * 3
    finally:
        await machine.stop()


async def test_a_window_holds_from_its_first_moment_to_its_last() -> None:
    machine = Machine()
    await machine.clock.advance(0.3)
    await machine.start()
    try:
        await machine.steer("window", TARGETS[2])
        await machine.clock.advance(299.75)
        assert (await machine.statuses())["c"].state == "window"
        await machine.do("post", 10)
        await machine.clock.advance(119.9)
        assert (machine.landed("a"), machine.landed("c")) == (10, 0)
        await machine.clock.advance(0.1)
        assert machine.landed("c") == 10
    finally:
        await machine.stop()
