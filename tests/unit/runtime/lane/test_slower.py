"""A flow that is made slower while a load waits for its turn."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence

from busway import App
from busway.delivery.rate import Rate
from busway.outcome import DELIVERED, Outcome
from busway.ports import Load
from listed_sink import Listed
from memory_node import MemoryNode


class Positioned(Listed):
    """A destination to which every offset of a load's range is decided once it has the load."""

    keeps_positions = True

    def __init__(self) -> None:
        super().__init__()
        self._positions: dict[object, int] = defaultdict(int)

    async def write(self, load: Load) -> Sequence[Outcome]:
        position = self._positions[load.lane]
        self.came += [item.event.id for item in load.items if item.offset >= position]
        self._positions[load.lane] = max(position, load.end or 0)
        return [DELIVERED] * len(load.items)


async def test_a_sink_that_keeps_positions_gets_the_whole_range() -> None:
    sink, app = Positioned(), App("shop")
    app.flow("f", to=sink, rate="10/s burst 20")
    node = MemoryNode(app)
    await node.start()
    await node.post_next(80)
    for _ in range(50):  # each lane comes as far as it can: to wait for its turn
        await asyncio.sleep(0)
    assert 0 < len(sink.came) < 80
    node.crew.consumers["f"][0].rate_limiter.override(Rate(10.0, 1))
    for _ in range(200):
        await node.clock.advance(0.2)
    assert (await node.statuses())["f"].delivered == 80
    assert sorted(sink.came) == sorted(f"e{number}" for number in range(80))
    await node.stop()
