"""The alerting loop on stores in memory, with a clock that is turned by hand."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from busway import App
from busway.alerts import (
    breaker_open,
    dead_letters,
    disk_free,
    failing,
    new_dead_letters,
    silence,
)
from busway.control.alert.record import ALERT, AlertRecord, alert_records, alert_statuses
from busway.control.record import FLOW, FlowRecord
from busway.errors import StoreFull
from busway.event import Event
from busway.failed_event import FailedEvent, FailedEventQuery, FailedEventState, Resolution
from busway.flow import compile_app
from busway.lane import Counts
from busway.named_value import ValueChange
from busway.ports import NewBatch, Stores
from busway.runtime.observe.alert_monitor import AlertMonitor
from busway.runtime.observe.alert_sampler import AlertSampler
from busway.runtime.observe.flow_sampler import FlowSampler
from busway.runtime.observe.last_seen import LAST_SEEN, SAVE_INTERVAL_S, LastSeen
from busway.settlement import Settlement
from busway.sinks import console
from busway.telemetry import Metrics
from busway.testing import ManualClock, memory_stores


class Bus:
    """Keeps what is published; ``full`` while it takes nothing."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.full = False

    async def publish(self, events: Sequence[Event]) -> None:
        if self.full:
            raise StoreFull("there is no room")
        known = {event.id for event in self.events}
        self.events += [event for event in events if event.id not in known]

    @property
    def told(self) -> list[str]:
        return [event.type.rpartition(".")[2] for event in self.events]


class World:
    """The stores, the clock and the bus; loops come and go."""

    def __init__(self, place: Path | None = None) -> None:
        made = memory_stores(partitions=1)
        self.stores = Stores(made.log, made.ledger, directory=place)
        self.clock = ManualClock()
        self.bus = Bus()
        self.app = App("t")
        self.app.flow("orders", to=console())
        self.seen = LastSeen(self.stores.ledger, self.clock)

    def loop(self) -> AlertMonitor:
        """Return a loop as after a start, which knows what is in the ledger and nothing else."""
        program = compile_app(self.app)
        self.seen = LastSeen(self.stores.ledger, self.clock)
        survey = FlowSampler(self.stores.log, self.stores.ledger, self.clock)
        reader = AlertSampler(self.stores, self.clock, survey, self.seen)
        metrics = Metrics()
        return AlertMonitor(
            lambda: program, reader, self.stores.ledger, self.bus, self.clock, metrics
        )

    async def looks(self, loop: AlertMonitor, seconds: int) -> None:
        """Let time pass, with a look each second."""
        for _ in range(seconds):
            await self.clock.advance(1.0)
            await loop.evaluate()

    async def fail(
        self, count: int, flow: str = "orders", state: FailedEventState = "dead"
    ) -> None:
        """Let events of a flow become dead letters, or be parked."""
        ledger, now = self.stores.ledger, self.clock.now()
        lane = await ledger.open_lane(flow, 0, 0)
        await self.stores.log.append([NewBatch(0, [b"{}"] * count)], now)
        end = lane.cursor + count
        troubles = tuple(
            FailedEvent(flow, 0, offset, b"{}", f"e{offset}", state, now, 1, due=_due(state, now))
            for offset in range(lane.cursor, end)
        )
        counts = Counts(**{state: count})
        made = Settlement(flow, 0, lane.cursor, end, now, "v", counts, failed_events=troubles)
        assert await ledger.settle([made]) == [True]

    async def deliver(self, count: int) -> None:
        """Let events of the flow be delivered."""
        ledger, now = self.stores.ledger, self.clock.now()
        lane = await ledger.open_lane("orders", 0, 0)
        await self.stores.log.append([NewBatch(0, [b"{}"] * count)], now)
        place = ("orders", 0, lane.cursor, lane.cursor + count)
        assert await ledger.settle([Settlement(*place, now, "v", Counts(count))]) == [True]

    async def discard(self) -> None:
        """Let an operator give up all dead letters."""
        verdicts = [
            Resolution(one.flow, 0, one.offset, one.attempts, "dead", "discarded", self.clock.now())
            for one in await self.stores.ledger.failed_events(FailedEventQuery(state="dead"))
        ]
        assert all(await self.stores.ledger.resolve(verdicts))

    async def records(self) -> dict[str, AlertRecord]:
        return dict(await alert_records(self.stores.ledger))


def _due(state: FailedEventState, now: datetime) -> datetime | None:
    return now if state == "parked" else None


@pytest.fixture
def world() -> World:
    found = World()
    found.app.alert("a", dead_letters(flow="orders", above=2), hold="10s")
    return found


async def test_it_is_raised_after_the_hold_once_and_survives_a_start(world: World) -> None:
    loop = world.loop()
    await world.looks(loop, 3)
    await world.fail(3)
    await world.looks(loop, 10)
    assert world.bus.told == [], "nine seconds have passed since it was seen"
    await world.looks(loop, 1)
    assert world.bus.told == ["raised"]
    (event,) = world.bus.events
    assert event.time == world.clock.now()
    assert event.data["value"] == 3.0
    await world.looks(world.loop(), 30)
    assert world.bus.told == ["raised"]


async def test_the_hold_goes_on_over_a_start(world: World) -> None:
    await world.fail(3)
    await world.looks(world.loop(), 8)
    await world.looks(world.loop(), 2)
    assert world.bus.told == []
    await world.looks(world.loop(), 1)
    assert world.bus.told == ["raised"]


async def test_told_again_after_a_crash_it_is_the_same_event(world: World) -> None:
    await world.fail(3)
    await world.looks(world.loop(), 11)
    (told,) = world.bus.events
    record = (await world.records())["a"]
    crashed = msgspec.json.encode(msgspec.structs.replace(record, is_published=False))
    await world.stores.ledger.change_values([ValueChange(ALERT + "a", crashed)])
    world.bus.events.clear()
    await world.looks(world.loop(), 1)
    (again,) = world.bus.events
    assert again == told
    assert (await world.records())["a"].is_published


async def test_while_the_bus_is_full_it_is_raised_and_told_later(world: World) -> None:
    await world.fail(3)
    loop = world.loop()
    world.bus.full = True
    await world.looks(loop, 20)
    record = (await world.records())["a"]
    assert (record.watch.raised, record.is_published) == (True, False)
    world.bus.full = False
    await world.looks(loop, 1)
    assert world.bus.told == ["raised"]
    assert world.bus.events[0].time == record.watch.since


async def test_two_loops_at_once_tell_once(world: World) -> None:
    await world.fail(3)
    one, other = world.loop(), world.loop()
    for _ in range(30):
        await world.clock.advance(1.0)
        await one.evaluate()
        await other.evaluate()
    assert world.bus.told == ["raised"]
    assert (await world.records())["a"].watch.changes == 1


async def test_a_loop_that_was_away_takes_up_what_another_one_kept(world: World) -> None:
    one, other = world.loop(), world.loop()
    await world.looks(other, 1)
    await world.fail(3)
    await world.looks(one, 11)
    await world.discard()
    await world.looks(one, 11)
    assert world.bus.told == ["raised", "cleared"]
    await world.fail(3)
    await world.looks(other, 20)
    assert world.bus.told == ["raised", "cleared", "raised"]
    assert (await world.records())["a"].watch.changes == 3


async def test_a_record_of_another_version_is_taken_over(world: World) -> None:
    await world.looks(world.loop(), 1)
    stored = (await world.stores.ledger.get_values(ALERT))[ALERT + "a"]
    older = msgspec.json.encode(msgspec.json.decode(stored) | {"unknown": 1})
    await world.stores.ledger.change_values([ValueChange(ALERT + "a", older)])
    await world.fail(3)
    await world.looks(world.loop(), 12)
    assert world.bus.told == ["raised"]


async def test_a_steady_value_is_not_written_again_and_again(world: World) -> None:
    loop = world.loop()
    await world.looks(loop, 1)
    first = await world.stores.ledger.get_values(ALERT)
    await world.looks(loop, 30)
    assert await world.stores.ledger.get_values(ALERT) == first


async def test_silence_goes_on_over_a_start_without_the_time_in_between(tmp_path: Path) -> None:
    world = World()
    world.app.alert("silent", silence("/shop", after="60s"))
    loop = world.loop()
    await world.looks(loop, 1)
    world.seen.record([Event(type="a", source="/shop").envelope])
    await world.looks(loop, 40)
    assert world.bus.told == []
    await world.clock.advance(3600.0)
    loop = world.loop()
    await world.looks(loop, 15)
    assert world.bus.told == [], "nobody was there to see what came in that hour"
    await world.looks(loop, 10)
    assert world.bus.told == ["raised"], "sixty seconds of it somebody was"
    assert 60 < world.bus.events[0].data["value"] < 60 + 2 * SAVE_INTERVAL_S


async def test_silence_takes_what_others_have_seen() -> None:
    world = World()
    world.app.alert("silent", silence("/shop/*", after="60s"))
    loop = world.loop()
    await world.looks(loop, 55)
    other = LastSeen(world.stores.ledger, world.clock)
    await other.watch({"/shop/*"})
    other.record([Event(type="a", source="/shop/1").envelope])
    await other.save()
    await world.looks(loop, 55)
    assert world.bus.told == []
    assert len(await world.stores.ledger.get_values(LAST_SEEN)) == 1


async def test_a_source_is_matched_by_its_name_or_its_beginning() -> None:
    world = World()
    await world.seen.watch({"/a", "/b/*"})
    await world.clock.advance(10.0)
    world.seen.record([Event(type="t", source=one).envelope for one in ("/a/x", "/b", "/c")])
    assert world.seen.silent_s() == {"/a": 10.0, "/b/*": 10.0}
    world.seen.record([Event(type="t", source=one).envelope for one in ("/a", "/b/1")])
    assert world.seen.silent_s() == {"/a": 0.0, "/b/*": 0.0}


async def test_without_a_disk_nothing_is_said_of_it(tmp_path: Path) -> None:
    for place, value in ((None, False), (tmp_path, True)):
        world = World(place)
        world.app.alert("disk", disk_free("100%"))
        await world.looks(world.loop(), 1)
        assert bool(world.bus.told) == value
        assert ((await world.records())["disk"].value is not None) == value


async def test_a_destination_that_is_gone_is_told_until_it_takes_events_again() -> None:
    world = World()
    ledger, now = world.stores.ledger, world.clock.now()
    await ledger.open_lane("orders", 0, 0)
    flow = FlowRecord("console", "v", "x.py:1", ordered=False)
    await ledger.put_value(FLOW + "orders", msgspec.json.encode(flow))

    async def breaker(state: str) -> None:
        record: dict[str, Any] = {"state": state, "reason": "http 410: no", "since": now}
        await ledger.put_value("breaker/console", msgspec.json.encode(record))

    loop = world.loop()
    await breaker("closed")
    await world.looks(loop, 5)
    assert await world.records() == {}, "it needs no record before"
    await breaker("gone")
    await world.looks(loop, 1)
    assert world.bus.told == ["raised"]
    await breaker("closed")
    await world.looks(loop, 30)
    await breaker("gone")
    await world.looks(loop, 120)
    assert world.bus.told == ["raised"], "resuming tries it, which is no reason to tell again"
    await breaker("closed")
    await world.looks(loop, 62)
    assert world.bus.told == ["raised", "cleared"]


def texts(world: World) -> list[str]:
    return [str(event.data["text"]) for event in world.bus.events]


async def test_each_flow_is_raised_and_cleared_by_itself_and_named() -> None:
    world = World()
    world.app.flow("mail", to=console())
    world.app.alert("letters", dead_letters())
    loop = world.loop()
    await world.fail(1, "orders")
    await world.looks(loop, 1)
    await world.fail(2, "mail")
    await world.looks(loop, 1)
    await world.discard()
    await world.looks(loop, 1)
    assert texts(world)[:2] == [
        "RAISED letters: 1 dead letter of flow 'orders' (raised above 0)",
        "RAISED letters: 2 dead letters of flow 'mail' (raised above 0)",
    ]
    assert sorted(texts(world)[2:]) == [
        "CLEARED letters: 0 dead letters of flow 'mail' (raised above 0)",
        "CLEARED letters: 0 dead letters of flow 'orders' (raised above 0)",
    ]
    assert {event.subject for event in world.bus.events} == {"letters"}
    assert [event.data["flow"] for event in world.bus.events[:2]] == ["orders", "mail"]


async def test_each_destination_is_watched_by_itself() -> None:
    world = World()
    world.app.alert("down", breaker_open())
    await world.looks(world.loop(), 1)
    (found,) = await alert_statuses(world.stores.ledger)
    assert (found.id, found.name, found.destination) == ("down:console", "down", "console")


async def test_new_dead_letters_are_those_of_late() -> None:
    world = World()
    await world.fail(5)
    await world.clock.advance(700.0)
    world.app.alert("new", new_dead_letters(above=1, within="10m"))
    loop = world.loop()
    await world.looks(loop, 2)
    await world.fail(1)
    await world.looks(loop, 2)
    assert world.bus.told == [], "five are old, and one is not more than one"
    await world.fail(1)
    await world.looks(loop, 1)
    says = "RAISED new: 2 new dead letters of flow 'orders' within 10m (raised above 1)"
    assert texts(world) == [says]
    await world.clock.advance(600.0)
    await world.looks(loop, 1)
    assert world.bus.told == ["raised", "cleared"], "the letters are there still, but not new"


async def test_it_is_told_again_while_it_holds() -> None:
    world = World()
    world.app.alert("a", dead_letters("orders"), repeat_every="1h")
    await world.fail(1)
    await world.looks(world.loop(), 1)
    for _ in range(3):
        await world.clock.advance(1800.0)
        await world.looks(world.loop(), 1)
    assert world.bus.told == ["raised", "raised"]
    first, again = world.bus.events
    assert (again.data["again"], first.data.get("again")) == (1, None)
    assert texts(world)[1].startswith("RAISED a: 1 dead letter of flow 'orders'")
    assert texts(world)[1].endswith(f"; raised since {first.time:%F %T} UTC")
    await world.discard()
    loop = world.loop()
    await world.looks(loop, 1)
    await world.clock.advance(7200.0)
    await world.looks(loop, 1)
    assert world.bus.told == ["raised", "raised", "cleared"]


async def test_a_step_that_fails_is_seen_while_its_events_are_parked() -> None:
    world = World()
    world.app.alert("step", failing(above=0.5, over="1m"))
    loop = world.loop()
    await world.deliver(100)
    await world.looks(loop, 6)
    await world.fail(50, state="parked")
    await world.deliver(50)
    await world.looks(loop, 1)
    assert world.bus.told == [], "half of them is not more than half"
    await world.fail(10, state="parked")
    await world.looks(loop, 1)
    (text,) = texts(world)
    assert text.startswith("RAISED step: 54.5 % of what flow 'orders' worked on within 1m stands")
    await world.deliver(100)
    await world.looks(loop, 1)
    assert world.bus.told == ["raised", "cleared"]


async def test_an_alert_is_pending_while_its_hold_runs(world: World) -> None:
    loop = world.loop()
    await world.fail(3)
    await world.looks(loop, 4)
    (found,) = await alert_statuses(world.stores.ledger)
    assert (found.state, found.since) == ("pending", None)
    assert found.pending_since is not None
    assert found.pending_until is not None
    assert (found.pending_until - found.pending_since).total_seconds() == 10.0


async def test_a_raised_alert_of_all_flows_together_is_cleared_by_an_upgrade() -> None:
    world = World()
    world.app.alert("a", dead_letters("orders"))
    await world.fail(1)
    await world.looks(world.loop(), 1)
    world.app = App("t")
    world.app.flow("orders", to=console())
    world.app.alert("a", dead_letters())
    await world.looks(world.loop(), 1)
    assert sorted(world.bus.told[1:]) == ["cleared", "raised"]
    (cleared,) = (text for text in texts(world) if text.startswith("CLEARED"))
    assert "it is watched for each flow or destination now" in cleared
