"""A node on stores in memory, with a clock that is turned by hand, for random commands to it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from busway import App, Event
from busway.bus.append import Appender
from busway.control.check import check
from busway.control.control import Control
from busway.control.flow.status import FlowStatus, flow_statuses
from busway.flow import compile_app
from busway.runtime.crew.crew import Crew, follow_for
from busway.runtime.due import Dues
from busway.runtime.hub import Hub
from busway.runtime.observe.observer import Observer
from busway.runtime.observe.record import Recorder
from busway.telemetry import Metrics
from busway.testing import HandClock, memory_stores

KEYS = 3


class MemoryNode:
    """It starts, stops and starts again on the same stores; it posts numbers as events."""

    def __init__(self, app: App) -> None:
        self.clock = HandClock()
        self.stores = memory_stores(2)
        self.posted = 0
        self._program = compile_app(app)

    async def start(self) -> None:
        metrics = Metrics()
        log, ledger = self.stores.log, self.stores.ledger
        self.appender = Appender(log, self.clock, 600.0)
        await self.appender.rebuild()
        self._appending = asyncio.create_task(self.appender.run())
        follow, dues = follow_for(self._program, log), Dues(ledger, self.clock)
        hub = Hub(follow, ledger, self.clock, log.identity, Observer(metrics), dues)
        self.crew = Crew(self._program, hub, log, Recorder(ledger, self.clock, metrics))
        await self.crew.start(self.appender)
        self.control = Control(log=log, ledger=ledger, clock=self.clock, wake=self.crew.wake)

    async def stop(self) -> None:
        await self.crew.stop(0.05)
        self.appender.close()
        await self._appending

    async def restart(self) -> None:
        await self.stop()
        await self.start()

    async def post_next(self, count: int) -> None:
        """Post the numbers that follow on those that were posted."""
        numbers = range(self.posted, self.posted + count)
        self.posted += count
        await self.post(numbers)

    async def post(self, numbers: Sequence[int]) -> None:
        await self.appender.publish(
            [
                Event(type="t", source="/s", id=f"e{n}", data=n, partitionkey=f"k{n % KEYS}")
                for n in numbers
            ]
        )

    async def statuses(self) -> dict[str, FlowStatus]:
        log, ledger = self.stores.log, self.stores.ledger
        found = await flow_statuses(log, ledger, None, self.clock.now())
        return {one.name: one for one in found}

    async def conserved(self) -> None:
        """Check that each flow has every event that was posted in one place."""
        assert await check(self.stores.log, self.stores.ledger) == []
        for flow in (await self.statuses()).values():
            parts = (flow.delivered, flow.filtered, flow.parked, flow.dead, flow.discarded)
            assert flow.accepted == self.posted == sum(parts) + flow.backlog
