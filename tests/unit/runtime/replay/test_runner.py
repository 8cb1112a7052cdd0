"""The staff of a replay: it loads only while the replays of its flow are this worker's."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from busway import App
from busway.control import job as jobs
from busway.control.replay.operation import ReplayRequest, begin_replay
from busway.delivery.poison import InFlightMarker
from busway.delivery.replay import ReplaySelection
from busway.flow import compile_app
from busway.runtime.replay.runner import ReplayContext, start_replay
from busway.sink.jsonl.sink import Jsonl
from listed_sink import Listed
from memory_node import MemoryNode

EVENTS = 6


async def no_marks(_flow: str) -> Mapping[str, InFlightMarker] | None:
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
        await node.clock.advance(0.1)
    control = msgspec.structs.replace(node.control, program=lambda: compile_app(app))
    asked = ReplayRequest(flow="f", select=ReplaySelection(), force=True, rate="1/s")
    replay = await begin_replay(control, asked, "tester")
    job = await jobs.job(node.stores.ledger, replay.id)
    hub, log = node.crew.context, node.stores.log
    ground = ReplayContext(hub, log, Jsonl, node.appender, finished, no_marks, lambda _: mine)
    staff = await start_replay(ground, node.crew.consumers["f"], job)
    while len(sink.came) < EVENTS + 2:
        await node.clock.advance(0.1)
    mine = False
    await node.clock.advance(2.0 * EVENTS)
    assert len(sink.came) == EVENTS + 2
    mine = True
    while len(sink.came) < 2 * EVENTS:
        await node.clock.advance(0.1)
    assert await staff.stop(1.0)
    await node.stop()
