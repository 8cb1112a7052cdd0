"""What is refused for want of a valid credential: counted, told in the log, slowed down."""

from __future__ import annotations

import asyncio
import math
from typing import Literal

import structlog

from busway.clock import Clock
from busway.control.access.slowdown import REPORT_INTERVAL_S, AuthenticationSlowdown
from busway.telemetry import Metrics

Endpoint = Literal["api", "intake"]
FailureReason = Literal["missing", "wrong"]
MAX_DELAYED = 200
"""How many answers are held back at a time; who comes beyond it is told to come later."""
MAX_DELAYED_PER_PEER = 10
_log = structlog.get_logger("busway")


class FailedAuthentications:
    """Shared by what checks credentials in one process; lives on its event loop."""

    def __init__(self, clock: Clock, metrics: Metrics) -> None:
        self._clock = clock
        self._counter = metrics.unauthorized
        self._slowdown = AuthenticationSlowdown()
        self._delayed: dict[str, int] = {}
        self._reporting: asyncio.Task[None] | None = None

    def count(self, endpoint: Endpoint, reason: FailureReason, peer: str) -> float:
        """Count a refusal; return for how many seconds the answer to a wrong one is held back."""
        self._counter.labels(endpoint, reason).inc()
        if reason == "missing":
            return 0.0
        delay_s = self._slowdown.record_failure(peer, self._clock.monotonic())
        self._report()
        return delay_s

    async def hold(self, peer: str, delay_s: float) -> int:
        """Wait before an answer; return 0, or at once after how many seconds to come again."""
        if not delay_s:
            return 0
        held = self._delayed.get(peer, 0)
        if held >= MAX_DELAYED_PER_PEER or sum(self._delayed.values()) >= MAX_DELAYED:
            return math.ceil(delay_s)
        self._delayed[peer] = held + 1
        try:
            await self._clock.sleep(delay_s)
        finally:
            self._delayed[peer] -= 1
            if not self._delayed[peer]:
                del self._delayed[peer]
        return 0

    def close(self) -> None:
        """Tell nothing more."""
        if self._reporting is not None:
            self._reporting.cancel()

    def _report(self) -> None:
        for address, count in self._slowdown.due_reports(self._clock.monotonic()):
            _log.warning("wrong credentials", address=address, count=count)
        if self._reporting is None or self._reporting.done():
            self._reporting = asyncio.create_task(self._report_later())

    async def _report_later(self) -> None:
        while len(self._slowdown):
            await self._clock.sleep(REPORT_INTERVAL_S)
            self._report()
