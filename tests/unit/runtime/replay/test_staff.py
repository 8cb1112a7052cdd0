"""The staff of a replay: it loads only while the replays of its flow are this worker's."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from busway import App
from busway.control import job as jobs
from busway.control.replay.operation import Request, begin
from busway.delivery.care import Mark
from busway.delivery.replay import Selection
from busway.flow import compile_app
from busway.runtime.replay.staff import Ground, engage
from busway.sink.jsonl import Jsonl
from listed_sink import Listed
from memory_node import MemoryNode

EVENTS = 6


async def no_marks(_flow: str) -> Mapping[str, Mark] | None:
    return None


def finished() -> None:
    """Nobody waits for the end."""


async def test_it_loads_nothing_while_another_worker_may_have_the_replays() -> None:
    app, sink = App("shop"), Listed()
    app.flow("f", to=sink)
    node, mine = MemoryNode(app), True
    await node.start()
    await node.post_next(EVENTS)
    while len(sink.came) < EVENTS:
        await node.clock.turn(0.1)
    control = msgspec.structs.replace(node.control, program=lambda: compile_app(app))
    asked = Request(flow="f", select=Selection(), force=True, rate="1/s")
    replay = await begin(control, asked, "tester")
    job = await jobs.job(node.stores.ledger, replay.id)
    hub, log = node.crew.hub, node.stores.log
    ground = Ground(hub, log, Jsonl, node.appender, finished, no_marks, lambda _: mine)
    staff = await engage(ground, node.crew.assignments["f"], job)
    while len(sink.came) < EVENTS + 2:
        await node.clock.turn(0.1)
    mine = False
    await node.clock.turn(2.0 * EVENTS)
    assert len(sink.came) == EVENTS + 2
    mine = True
    while len(sink.came) < 2 * EVENTS:
        await node.clock.turn(0.1)
    assert await staff.stop(1.0)
    await node.stop()
