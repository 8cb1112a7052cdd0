"""A sink that keeps positions learns of every event of its range that does not land."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

import pytest

from busway import App, Event
from busway.delivery.backoff import Backoff
from busway.outcome import DELIVERED, Down, Outcome, Retry
from busway.ports import Load, LoadItem, SinkLane
from busway.sink.position import LanePosition, advance, failed_offsets
from listed_sink import Listed
from memory_node import KEYS, MemoryNode

SLOW = Backoff(first=60.0, cap=60.0)
Decide = Callable[[Load, int], Outcome]


def well(load: Load, index: int) -> Outcome:
    return DELIVERED


class Table(Listed):
    """Lands each offset at most once per lane, as it is decided; nothing from the first Down on."""

    keeps_positions = True

    def __init__(self, decide: Decide) -> None:
        super().__init__()
        self.decide = decide
        self._places: dict[object, LanePosition] = defaultdict(LanePosition)

    async def write(self, load: Load) -> Sequence[Outcome]:
        place = self._places[load.lane]
        pending = set(place.pending_items(load))
        decided = [
            self.decide(load, i) if i in pending else DELIVERED for i in range(len(load.items))
        ]
        first = next((i for i, one in enumerate(decided) if isinstance(one, Down)), None)
        if first == 0:
            return decided[:1] * len(load.items)
        if first is not None and load.start is not None:
            load = Load(load.lane, load.items[:first], load.start, load.items[first].offset)
        part = decided[:first]
        landed = [i for i in sorted(pending) if i < len(part) and part[i] is DELIVERED]
        self.came += [load.items[i].event.id for i in landed]
        change = advance(place, load, failed_offsets(load, part))
        exceptions = place.exceptions.union(change.inserts).difference(change.deletes)
        self._places[load.lane] = LanePosition(change.decided, exceptions)
        return [*part, *decided[len(part) :][:1] * (len(decided) - len(part))]


async def until_parked(node: MemoryNode) -> None:
    for _ in range(100):
        await node.clock.advance(0.2)
        if (await node.statuses())["f"].parked:
            return
    pytest.fail("nothing was parked")


async def all_land(node: MemoryNode, sink: Table) -> None:
    """Have more events go, then those that wait: all are in the table in the end, once."""
    await node.post_next(30)
    await node.clock.advance(4.0)
    sink.decide = well
    for _ in range(400):
        await node.clock.advance(0.5)
    assert (await node.statuses())["f"].delivered == node.posted
    assert sorted(sink.came) == sorted(f"e{number}" for number in range(node.posted))
    await node.stop()


async def test_an_event_that_its_sink_is_down_for_is_written_when_it_is_retried() -> None:
    sink, app = Table(well), App("shop")
    app.flow("f", to=sink, retry=SLOW)
    node = MemoryNode(app)
    await node.start()
    await node.post([0])
    await node.clock.advance(0.2)
    sink.decide = lambda load, i: Down("locked", reachable=True)
    await node.post([KEYS])
    await node.clock.advance(0.2)
    sink.decide = well
    other = LoadItem(0, Event(type="t", source="/s", id="other", data=0), [0], "other")
    await node.crew.consumers["f"][0].guard.write(
        Load(SinkLane("memory", "other", 0), [other], 0, 1)
    )
    sink.came.remove("other")
    sink.decide = lambda load, i: Down("locked", reachable=True)
    await until_parked(node)
    sink.decide = well
    node.posted = KEYS + 1
    await node.post(range(1, KEYS))
    await all_land(node, sink)


async def test_what_waits_behind_an_event_of_its_key_is_written_when_it_is_retried() -> None:
    def decide(load: Load, index: int) -> Outcome:
        if load.items[index].event.id == "e0":
            return Retry("connection lost", "while this row was written")
        return Down("away", reachable=True) if load.items[0].event.id == "e0" else DELIVERED

    sink, app = Table(decide), App("shop")
    app.flow("f", to=sink, retry=SLOW, ordered=True)
    node = MemoryNode(app)
    await node.start()
    node.posted = 2 * KEYS
    await node.post([0, KEYS])
    await node.post([number for number in range(2 * KEYS) if number % KEYS])
    await until_parked(node)
    await all_land(node, sink)
