"""The bus sink: what becomes of results, and of what the bus says."""

from __future__ import annotations

from typing import Any

import pytest

from busway.clock import derived_id
from busway.errors import EventError, SinkError, StoreFull
from busway.event import Event
from busway.outcome import DELIVERED, Down, Outcome, Rejected
from busway.sinks import bus
from sink_load import KeptEvents, an_item, fresh


async def write(kept: KeptEvents, *results: object, event: Event | None = None) -> Outcome:
    destination = await bus().open(kept)
    (outcome,) = await destination.write(fresh([an_item(0, *results, event=event)]))
    return outcome


def cause(**attributes: Any) -> Event:
    return Event(type="order.created", source="/shop", id="c1", **attributes)


async def test_a_dict_becomes_an_event_that_knows_its_cause() -> None:
    kept = KeptEvents()
    event = cause(partitionkey="k", subject="s", traceparent="00-1-2-3", buswayhops=2)
    assert await write(kept, {"n": 1}, {"n": 2}, event=event) == DELIVERED
    one, two = kept.events
    assert one == Event(
        id=derived_id("orders", "/shop\0c1", 0),
        type="orders",
        source="/busway/orders",
        data={"n": 1},
        partitionkey="k",
        subject="s",
        causationid="c1",
        correlationid="c1",
        traceparent="00-1-2-3",
        buswayhops=3,
    )
    assert (two.id, two.data) == (derived_id("orders", "/shop\0c1", 1), {"n": 2})


async def test_event_keeps_its_own_attributes() -> None:
    kept = KeptEvents()
    result = Event(
        type="order.priced", source="/prices", subject="mine", correlationid="x", causationid="y"
    )
    await write(kept, result, event=cause(partitionkey="k", correlationid="z"))
    (event,) = kept.events
    assert (event.type, event.source, event.key) == ("order.priced", "/prices", "mine")
    assert (event.id, event.causationid) == (derived_id("orders", "/shop\0c1", 0), "c1")
    assert (event.correlationid, event.extensions["buswayhops"]) == ("x", 1)


async def test_an_event_takes_key_and_correlation_of_its_cause_where_it_has_none() -> None:
    kept = KeptEvents()
    await write(kept, Event(type="t", source="/s"), event=cause(subject="s", correlationid="z"))
    (event,) = kept.events
    assert (event.subject, event.correlationid, event.causationid) == ("s", "z", "c1")


async def test_type_and_source_can_be_given() -> None:
    kept = KeptEvents()
    destination = await bus(type="order.checked", source="/checks").open(kept)
    await destination.write(fresh([an_item(0, {"n": 1})]))
    assert (kept.events[0].type, kept.events[0].source) == ("order.checked", "/checks")


async def test_loop_of_events_is_rejected_after_32_hops() -> None:
    kept = KeptEvents()
    assert await write(kept, {"n": 1}, event=cause(buswayhops=31)) == DELIVERED
    outcome = await write(kept, {"n": 1}, event=cause(buswayhops=32))
    assert isinstance(outcome, Rejected)
    assert outcome.error == "loop"
    assert len(kept.events) == 1


async def test_invalid_event_is_rejected_alone() -> None:
    kept = KeptEvents()
    destination = await bus().open(kept)
    items = [an_item(0, {"n": 1}), an_item(1, {"n": object()}), an_item(2, {"n": 3})]
    outcomes = await destination.write(fresh(items))
    assert [type(outcome).__name__ for outcome in outcomes] == [
        "Delivered",
        "Rejected",
        "Delivered",
    ]
    assert [event.data["n"] for event in kept.events] == [1, 3]


async def test_a_full_bus_is_down() -> None:
    kept = KeptEvents()
    kept.error = StoreFull("the disk is full")
    assert await write(kept, {"n": 1}) == Down("the bus is full: the disk is full", reachable=True)


class Picky(KeptEvents):
    """A bus that refuses one event, and with it whatever comes in the same call."""

    async def publish(self, events: Any) -> None:
        if any(event.data == "too large" for event in events):
            raise EventError("the event is too large")
        await super().publish(events)


@pytest.mark.parametrize("place", [0, 1, 2])
async def test_an_event_that_the_bus_refuses_is_rejected_alone(place: int) -> None:
    kept = Picky()
    destination = await bus().open(kept)
    items = [an_item(n, "too large" if n == place else "fine") for n in range(3)]
    outcomes = await destination.write(fresh(items))
    expected: list[Outcome] = [DELIVERED] * 3
    expected[place] = Rejected("EventError", "the event is too large")
    assert outcomes == expected
    assert len(kept.events) == 2


async def test_hops_of_a_producer_are_not_counted() -> None:
    kept = KeptEvents()
    assert await write(kept, {"n": 1}, event=cause(hops=64)) == DELIVERED
    result = Event(type="t", source="/s", hops=99, buswayhops=-7)
    assert await write(kept, result, event=cause(buswayhops=4)) == DELIVERED
    first, second = kept.events
    assert first.extensions["buswayhops"] == 1
    assert (second.extensions["hops"], second.extensions["buswayhops"]) == (99, 5)


@pytest.mark.parametrize("type_", ["busway.alert.raised", "Busway.x"])
async def test_a_step_cannot_make_an_event_of_busway_itself(type_: str) -> None:
    kept = KeptEvents()
    outcome = await write(kept, Event(type=type_, source="/s"))
    assert isinstance(outcome, Rejected)
    assert f"type is '{type_}'; types that begin with 'busway.' are reserved" in outcome.reason
    assert kept.events == []


@pytest.mark.parametrize("name", ["type", "source", "subject", "partitionkey"])
async def test_what_a_step_makes_too_long_is_that_events_dead_letter(name: str) -> None:
    kept = KeptEvents()
    made = Event(**{"type": "t", "source": "/s", name: "x" * 5_000})
    outcome = await write(kept, made)
    assert isinstance(outcome, Rejected)
    assert outcome.reason.startswith(f"{name} is 5000 characters long; at most ")
    assert kept.events == []


async def test_inherited_attributes_are_not_length_checked() -> None:
    kept = KeptEvents()
    old = cause(partitionkey="k" * 5_000).replace(id="i" * 5_000)
    assert await write(kept, {"n": 1}, event=old) == DELIVERED
    assert (kept.events[0].causationid, kept.events[0].key) == ("i" * 5_000, "k" * 5_000)


async def test_a_reserved_type_cannot_be_declared() -> None:
    with pytest.raises(SinkError, match=r"types that begin with 'busway\.' are reserved"):
        await bus(type="busway.x").open(KeptEvents())
    with pytest.raises(SinkError, match="type is 5000 characters long"):
        await bus(type="x" * 5_000).open(KeptEvents())
