"""A lane's batches share a thread, and keep it when the flows are reloaded."""

from __future__ import annotations

import threading
from typing import Any

from busway import App, Event
from busway.app import Node
from busway.flow import CompiledApp, compile_app
from busway.ports import NewBatch, Stores
from busway.settings import NOT_LISTENING, Settings
from busway.testing import ManualClock, MemoryLedger, MemoryLog
from listed_sink import Listed

BATCHES = 10


async def test_all_batches_of_a_lane_run_in_one_thread_over_reloads() -> None:
    clock, log, sink = ManualClock(), MemoryLog(1), Listed()
    ran_in: set[threading.Thread] = set()

    def program() -> CompiledApp:
        def step(event: Event) -> Any:
            ran_in.add(threading.current_thread())
            return event.data

        app = App("t")
        app.flow("f", to=sink, steps=[step])
        return compile_app(app)

    stores = Stores(log, MemoryLedger())
    node = Node(program(), Settings(port=NOT_LISTENING), stores, clock, role="work")
    await node.start()
    for reload in range(3):
        for number in range(BATCHES):
            event = Event(type="t", source="/s", id=f"{reload}/{number}", data={"n": number})
            await log.append([NewBatch(0, [event.to_json()])], clock.now())
            while len(sink.came) <= reload * BATCHES + number:
                await clock.advance(0.01)
        await node.change_program(program())
    assert len(ran_in) == 1
    await node.stop()
    (thread,) = ran_in
    thread.join(10.0)
    assert not thread.is_alive(), "it ends with the node"
