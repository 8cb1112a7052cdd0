"""Pausing, draining and throttling what runs: at once, for good, and nothing is lost or doubled."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest

from busway import App, Backoff, Window
from busway.clock import SystemClock
from busway.control.context import ControlContext
from busway.control.destination import destination_statuses
from busway.control.flow.status import FlowStatus, flow_statuses
from busway.control.operator_control import operation as steer
from busway.control.operator_control.operation import ControlCommand
from busway.control.operator_control.record import ControlTarget
from busway.errors import Conflict, SettingsError
from busway.sinks import http, postgres
from delivery_node import QUICK, Running, Shifted, event, running, until
from http_target import Answer, Call, HttpTarget, http_target
from postgres_server import PostgresServer

ORDER = ControlCommand("ann", "a move")
FLOW = ControlTarget("flow", "f")
MOMENT_S = 0.5
"""How long nothing may happen to show that nothing does."""
SOON = timedelta(milliseconds=300)
ON_THE_WAY = 8
"""How many requests may have been on their way when a flow was paused: its concurrency."""


def flow_to(target: HttpTarget, *names: str, retry: Backoff = QUICK) -> App:
    """Return an app with flows that wait for an answer as long as it takes to steer them."""
    app = App("t")
    to = http(target.url, timeout="60s", concurrency=ON_THE_WAY)
    for name in names or ("f",):
        app.flow(name, when={"source": ["/test"]}, to=to, retry=retry)
    return app


def numbered(start: int, end: int) -> list[dict[str, object]]:
    return [event(n, key=f"k{n % 7}") for n in range(start, end)]


async def passed(seconds: float) -> None:
    """Let time pass in which nothing may happen."""
    end = time.monotonic() + seconds
    await until(lambda: time.monotonic() >= end)


async def shut(busway: Running, *flows: str) -> None:
    """Return once nothing more may go to the destinations of flows."""
    crew = busway.node.flow_runner
    valves = [crew.consumers[flow][0].pause_gate for flow in flows or ("f",)]
    await until(lambda: not any(valve.is_open for valve in valves), "nothing more may go")


class Arrivals:
    """When each request was answered; after ``most`` of them the target holds all others."""

    def __init__(self, target: HttpTarget, most: int | None = None) -> None:
        self.times: list[float] = []
        self._target = target
        self._most = most
        target.decide = self._note

    def _note(self, _: Call) -> Answer:
        self.times.append(time.monotonic())
        if len(self.times) == self._most:
            self._target.hold()
        return Answer()


async def test_a_pause_holds_at_once_and_over_a_restart_while_events_come_in(
    tmp_path: Path,
) -> None:
    async with http_target() as target:
        arrivals = Arrivals(target, most=100)
        app = flow_to(target)
        async with running(app, tmp_path / "data") as busway:
            await busway.post(*numbered(0, 1_000))
            await until(lambda: len(arrivals.times) == 100)
            await steer.pause(busway.node.control, FLOW, ORDER)
            await shut(busway)
            target.let_go()
            for start in range(1_000, 3_000, 500):
                await busway.post(*numbered(start, start + 500))
            await passed(MOMENT_S)
            assert len(arrivals.times) <= 100 + ON_THE_WAY
            status = await busway.status("f")
            assert status.accepted == 3_000
            assert status.delivered <= len(arrivals.times)
            assert status.backlog == 3_000 - status.delivered
            assert status.state == "paused"
            assert status.until is None
            assert "by ann" in status.state_reason
            assert status.state_reason.endswith(": a move")
            await busway.check()
        reached = len(arrivals.times)
        async with running(app, tmp_path / "data") as busway:
            await busway.post(*numbered(3_000, 3_100))
            await passed(MOMENT_S)
            assert len(arrivals.times) == reached
            assert (await busway.status("f")).state == "paused"
            await steer.resume(busway.node.control, FLOW, ORDER)
            await busway.until("f", delivered=3_100, backlog=0, state="running")
        assert len({call.key for call in target.taken}) == 3_100
        assert len(target.taken) == 3_100


async def test_a_pause_stops_in_the_middle_of_a_load(tmp_path: Path) -> None:
    async with http_target() as target:
        app = flow_to(target)
        pausing: list[asyncio.Task[object]] = []
        async with running(app, tmp_path / "data", partitions=1) as busway:

            def decide(_: Call) -> Answer:
                if len(target.done) == 200:
                    target.hold()
                    work = steer.pause(busway.node.control, FLOW, ORDER)
                    pausing.append(asyncio.create_task(work))
                return Answer()

            target.decide = decide
            await busway.post(*numbered(0, 2_000))
            await busway.until("f", state="paused")
            await pausing[0]
            await shut(busway)
            target.let_go()
            await passed(MOMENT_S)
            assert len(target.calls) <= 201 + ON_THE_WAY
            await busway.until("f", delivered=len(target.calls))
            await busway.check()
            await steer.resume(busway.node.control, FLOW, ORDER)
            await busway.until("f", delivered=2_000)
        assert len(target.taken) == len({call.key for call in target.taken}) == 2_000


async def test_a_pause_is_exactly_once_in_postgresql(
    server: PostgresServer, tmp_path: Path
) -> None:
    app = App("t")
    to = postgres(server.dsn, table="orders", create=True)
    app.flow("f", when={"source": ["/test"]}, to=to, steps=[lambda e: {"n": e.data["n"]}])
    async with running(app, tmp_path / "data") as busway:
        posting = asyncio.create_task(post_all(busway, 4_000))
        for _ in range(4):
            before = (await busway.status("f")).delivered
            await until_more(busway, before)
            await steer.pause(busway.node.control, FLOW, ORDER)
            await steer.resume(busway.node.control, FLOW, ORDER)
        await steer.pause(busway.node.control, FLOW, ORDER)
        await posting
        assert (await busway.status("f")).accepted == 4_000
    async with running(app, tmp_path / "data") as busway:
        held = await busway.status("f")
        await passed(MOMENT_S)
        assert (await busway.status("f")).delivered == held.delivered
        await steer.resume(busway.node.control, FLOW, ORDER)
        await busway.until("f", delivered=4_000, backlog=0)
    connection = await asyncpg.connect(server.dsn)
    found = await connection.fetchrow("SELECT count(*), count(DISTINCT n) FROM orders")
    await connection.close()
    assert tuple(found or ()) == (4_000, 4_000)


async def post_all(busway: Running, count: int) -> None:
    for start in range(0, count, 250):
        await busway.post(*numbered(start, start + 250))


async def until_more(busway: Running, than: int) -> None:
    async def more() -> bool:
        status = await busway.status("f")
        return status.delivered > than or status.backlog == 0

    await until(more)


async def test_a_paused_destination_holds_all_its_flows_and_no_other(tmp_path: Path) -> None:
    async with http_target() as target, http_target() as other:
        app = flow_to(target, "a", "b")
        app.flow("c", when={"source": ["/test"]}, to=http(other.url))
        async with running(app, tmp_path / "data") as busway:
            control, name = busway.node.control, http(target.url).name
            await steer.pause(control, ControlTarget("destination", name), ORDER)
            await shut(busway, "a", "b")
            await busway.post(*numbered(0, 500))
            await busway.until("c", delivered=500, state="running")
            await passed(MOMENT_S)
            assert target.calls == []
            for flow in "ab":
                status = await busway.until(flow, backlog=500, state="paused")
                assert status.state_reason.startswith("destination paused by ann")
            statuses = await destination_statuses(busway.stores.ledger)
            assert {one.name: one.state for one in statuses} == {
                name: "paused",
                http(other.url).name: "running",
            }
            await steer.resume(control, ControlTarget("destination", name), ORDER)
            for flow in "ab":
                await busway.until(flow, delivered=500, state="running")


async def test_parked_events_wait_too(tmp_path: Path) -> None:
    async with http_target() as target:
        target.decide = lambda _: Answer(500)
        app = flow_to(target, retry=Backoff(first=0.05, factor=1.0, jitter=0, attempts=1_000))
        async with running(app, tmp_path / "data") as busway:
            await busway.post(*numbered(0, 5))
            await busway.until("f", parked=5)
            await steer.pause(busway.node.control, FLOW, ORDER)
            await shut(busway)
            slots = busway.node.flow_runner.consumers["f"][0].guard.concurrency_limiter
            await until(lambda: slots.in_flight == 0, "what was on its way has come")
            calls = len(target.calls)
            await passed(MOMENT_S)
            assert len(target.calls) == calls
            target.decide = lambda _: Answer()
            await steer.resume(busway.node.control, FLOW, ORDER)
            await busway.until("f", delivered=5, parked=0)


async def test_a_pause_ends_at_its_time(tmp_path: Path) -> None:
    clock = Shifted(datetime(2026, 3, 1, 12, tzinfo=UTC))
    arrived: list[datetime] = []

    def decide(_: Call) -> Answer:
        arrived.append(clock.now())
        return Answer()

    async with http_target() as target:
        target.decide = decide
        async with running(flow_to(target), tmp_path / "data", clock=clock) as busway:
            control = busway.node.control
            end = clock.now() + timedelta(hours=1)
            await steer.pause(control, FLOW, ORDER, end)
            await shut(busway)
            await busway.post(*numbered(0, 10))
            status = await status_at(busway, clock)
            assert (status.state, status.until, status.backlog) == ("paused", end, 10)
            clock.put(end - SOON)
            await busway.until("f", delivered=10)
            assert arrived[0] >= end
            assert (await status_at(busway, clock)).state == "running"
            with pytest.raises(SettingsError, match="has passed"):
                await steer.pause(control, FLOW, ORDER, end)


async def test_a_drain_does_what_was_there_and_pauses(tmp_path: Path) -> None:
    async with http_target() as target:
        failed: set[str] = set()

        def decide(call: Call) -> Answer:
            first = call.key not in failed
            failed.add(call.key)
            return Answer(500 if first and len(failed) % 50 == 0 else 200)

        target.decide = decide
        async with running(flow_to(target), tmp_path / "data") as busway:
            control = busway.node.control
            await steer.pause(control, FLOW, ORDER)
            await busway.post(*numbered(0, 1_000))
            await steer.drain(control, FLOW, ORDER)
            await busway.post(*numbered(1_000, 1_200))
            status = await busway.until("f", state="paused")
            assert "drained: a move" in status.state_reason
            assert (status.delivered, status.parked, status.backlog) == (1_000, 0, 200)
            await busway.check()
            await steer.resume(control, FLOW, ORDER)
            await busway.until("f", delivered=1_200)
            audits = await busway.stores.ledger.audit_records("flow/f")
            told = [(one.actor, one.action) for one in reversed(audits)]
            actions = ("pause", "drain", "drained", "resume")
            assert told == [("ann", action) for action in actions]


async def test_a_drain_does_not_wait_for_what_is_due_late(tmp_path: Path) -> None:
    async with http_target() as target:
        target.decide = lambda _: Answer(500)
        app = flow_to(target, retry=Backoff(first=3_600, cap=3_600))
        async with running(app, tmp_path / "data") as busway:
            await busway.post(*numbered(0, 3))
            await busway.until("f", parked=3)
            await steer.drain(busway.node.control, FLOW, ORDER)
            await busway.until("f", parked=3, state="paused")


async def test_a_window_holds_while_it_is_open_and_one_can_be_skipped(tmp_path: Path) -> None:
    """It opens at two in Berlin in the night when the clocks go back: the first time."""
    opens = datetime(2026, 10, 25, 0, 0, tzinfo=UTC)
    closes = opens + timedelta(minutes=30)
    clock = Shifted(opens - timedelta(hours=1))
    async with http_target() as target:
        app = App("t")
        declared = Window("0 2 * * *", "30m", "Europe/Berlin")
        app.flow("f", when={"source": ["/test"]}, to=http(target.url), windows=[declared])
        async with running(app, tmp_path / "data", clock=clock) as busway:
            await busway.post(*numbered(0, 10))
            await busway.until("f", delivered=10)
            clock.put(opens)
            await shut(busway)
            await busway.post(*numbered(10, 30))
            status = await status_at(busway, clock)
            assert (status.delivered, status.backlog, status.state) == (10, 20, "window")
            assert status.until == closes
            assert len(target.calls) == 10
            clock.put(closes - SOON)
            await busway.until("f", delivered=30)
            assert clock.now() >= closes
            added = Window("1 2 * * *", "1h", "Europe/Berlin", "backup")
            control = busway.node.control
            with pytest.raises(Conflict, match="in no window now"):
                await steer.skip_windows(control, FLOW, ORDER)
            await steer.add_window(control, FLOW, ORDER, added)
            await shut(busway)
            await busway.post(*numbered(30, 40))
            status = await status_at(busway, clock)
            assert status.state_reason.endswith("for 1h (Europe/Berlin): backup")
            await passed(MOMENT_S)
            assert len(target.calls) == 30
            await steer.skip_windows(control, FLOW, ORDER)
            await busway.until("f", delivered=40)
            await steer.remove_window(control, FLOW, ORDER, added.id)


async def status_at(busway: Running, clock: SystemClock) -> FlowStatus:
    statuses = await flow_statuses(busway.stores.log, busway.stores.ledger, None, clock.now())
    return next(one for one in statuses if one.name == "f")


async def test_a_throttle_holds_until_it_is_taken_off(tmp_path: Path) -> None:
    async with http_target() as target:
        arrivals = Arrivals(target)
        async with running(flow_to(target), tmp_path / "data") as busway:
            control = busway.node.control
            await steer.pause(control, FLOW, ORDER)
            await shut(busway)
            await busway.post(*numbered(0, 1_000))
            await steer.throttle(control, FLOW, ORDER, rate="5/s burst 5")
            began = time.monotonic()
            await steer.resume(control, FLOW, ORDER)
            await until(lambda: len(arrivals.times) >= 15)
            times = list(arrivals.times)
            assert len(times) <= 5 * (times[-1] - began) + 5 + 1
            await steer.unthrottle(control, FLOW, ORDER)
            await busway.until("f", delivered=1_000)  # at that rate it would take 200 s


async def test_a_throttle_of_a_destination_holds_for_its_flows_together(tmp_path: Path) -> None:
    async with http_target() as target:
        arrivals = Arrivals(target)
        app = flow_to(target, "a", "b")
        async with running(app, tmp_path / "data") as busway:
            control = busway.node.control
            whole = ControlTarget("destination", http(target.url).name)
            await steer.pause(control, whole, ORDER)
            await shut(busway, "a", "b")
            await busway.post(*numbered(0, 60))
            target.hold()
            await steer.throttle(control, whole, ORDER, rate="100/s", concurrency="2")
            began = time.monotonic()
            await steer.resume(control, whole, ORDER)
            await until(lambda: len(target.calls) >= 2)
            await passed(MOMENT_S)
            assert len(target.calls) == 2
            target.let_go()
            await until(lambda: len(arrivals.times) >= 120)
            took = arrivals.times[-1] - began
            assert len(arrivals.times) <= 100 * took + 10 + 1


async def test_a_concurrency_holds_until_it_is_taken_off(tmp_path: Path) -> None:
    async with http_target() as target, running(flow_to(target), tmp_path / "data") as busway:
        control = busway.node.control
        await steer.pause(control, FLOW, ORDER)
        await shut(busway)
        await busway.post(*numbered(0, 300))
        target.hold()
        await steer.throttle(control, FLOW, ORDER, concurrency="1")
        await steer.resume(control, FLOW, ORDER)
        await until(lambda: len(target.calls) >= 1)
        await passed(MOMENT_S)
        assert len(target.calls) == 1
        target.let_go()
        await busway.until("f", delivered=300)
        await steer.unthrottle(control, FLOW, ORDER)
        target.hold_until_busy(4)
        await busway.post(*numbered(300, 600))
        await busway.until("f", delivered=600)


@pytest.mark.parametrize(
    ("refusal", "state"),
    [
        pytest.param(Answer(410), "gone", id="asked-for-no-more"),
        pytest.param(Answer(503, {"Retry-After": "3600"}), "down", id="probe-far-off"),
    ],
)
async def test_resume_calls_a_destination_at_once(
    tmp_path: Path, refusal: Answer, state: str
) -> None:
    async with http_target() as target:
        target.decide = lambda _: refusal
        async with running(flow_to(target), tmp_path / "data") as busway:
            await busway.post(*numbered(0, 10))
            await busway.until("f", state=state, backlog=10)
            target.decide = lambda _: Answer()
            await steer.resume(busway.node.control, FLOW, ORDER)
            await busway.until("f", delivered=10, state="running")


async def test_another_process_is_obeyed(tmp_path: Path) -> None:
    """Another process has no one here to wake: it only writes the ledger."""
    async with http_target() as target, running(flow_to(target), tmp_path / "data") as busway:
        beside = ControlContext(log=busway.stores.log, ledger=busway.stores.ledger)
        await steer.pause(beside, FLOW, ORDER)
        await shut(busway)
        await busway.post(*numbered(0, 10))
        await passed(MOMENT_S)
        assert target.calls == []
        await steer.resume(beside, FLOW, ORDER)
        await busway.until("f", delivered=10)


async def test_nobody_overwrites_what_he_has_not_seen(tmp_path: Path) -> None:
    async with http_target() as target, running(flow_to(target), tmp_path / "data") as busway:
        control = busway.node.control
        seen = await steer.pause(control, FLOW, ORDER)
        await steer.throttle(control, FLOW, ORDER, rate="5/s")
        with pytest.raises(Conflict, match="changed in the meantime"):
            await steer.resume(control, FLOW, ControlCommand("bob", "", seen))
        found = await asyncio.gather(
            steer.add_window(control, FLOW, ORDER, Window("0 1 * * *", "1h")),
            steer.add_window(control, FLOW, ORDER, Window("0 2 * * *", "1h")),
            steer.resume(control, FLOW, ORDER),
        )
        last = max(found, key=lambda one: len(one.windows))
        assert len(last.windows) == 2
        assert last.throttle is not None
