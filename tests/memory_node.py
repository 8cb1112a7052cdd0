"""A node on stores in memory, with a clock that is turned by hand, for random commands to it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from busway import App, Event
from busway.bus.group_commit import Appender
from busway.control.conservation_check import check_conservation
from busway.control.context import ControlContext
from busway.control.flow.status import FlowStatus, flow_statuses
from busway.flow import compile_app
from busway.runtime.context import Context
from busway.runtime.due_retry import DueRetries
from busway.runtime.observe.observer import TelemetryObserver
from busway.runtime.observe.settlement_log import SettlementLog
from busway.runtime.observe.state_recorder import StateRecorder
from busway.runtime.worker.flow_runner import FlowRunner, create_log_reader
from busway.telemetry import Metrics
from busway.testing import ManualClock, memory_stores

KEYS = 3


class MemoryNode:
    """It starts, stops and starts again on the same stores; it posts numbers as events."""

    def __init__(self, app: App) -> None:
        self.clock = ManualClock()
        self.stores = memory_stores(2)
        self.posted = 0
        self._program = compile_app(app)

    async def start(self) -> None:
        metrics = Metrics()
        log, ledger = self.stores.log, self.stores.ledger
        self.appender = Appender(log, self.clock, 600.0)
        await self.appender.load_recent()
        self._appending = asyncio.create_task(self.appender.run())
        follow, dues = create_log_reader(self._program, log), DueRetries(ledger, self.clock)
        hub = Context(
            follow,
            ledger,
            self.clock,
            log.identity,
            TelemetryObserver(metrics, SettlementLog(self.clock)),
            dues,
        )
        self.crew = FlowRunner(self._program, hub, log, StateRecorder(ledger, self.clock, metrics))
        await self.crew.start(self.appender)
        self.control = ControlContext(log=log, ledger=ledger, clock=self.clock, wake=self.crew.wake)

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
        assert await check_conservation(self.stores.log, self.stores.ledger) == []
        for flow in (await self.statuses()).values():
            parts = (flow.delivered, flow.filtered, flow.parked, flow.dead, flow.discarded)
            assert flow.accepted == self.posted == sum(parts) + flow.backlog
