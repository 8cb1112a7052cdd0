"""What is refused for want of a valid credential: counted, told in the log, slowed down."""

from __future__ import annotations

import asyncio
import math
from typing import Literal

import structlog

from busway.clock import Clock
from busway.control.access.slowdown import TOLD_EVERY_S, Slowdown
from busway.telemetry import Metrics

Part = Literal["api", "intake"]
Reason = Literal["missing", "wrong"]
MOST_HELD = 200
"""How many answers are held back at a time; who comes beyond it is told to come later."""
MOST_HELD_FOR_ONE = 10
_log = structlog.get_logger("busway")


class Refusals:
    """Shared by what checks credentials in one process; lives on its event loop."""

    def __init__(self, clock: Clock, metrics: Metrics) -> None:
        self._clock = clock
        self._counter = metrics.unauthorized
        self._slowdown = Slowdown()
        self._held: dict[str, int] = {}
        self._telling: asyncio.Task[None] | None = None

    def count(self, part: Part, reason: Reason, peer: str) -> float:
        """Count a refusal; return for how many seconds the answer to a wrong one is held back."""
        self._counter.labels(part, reason).inc()
        if reason == "missing":
            return 0.0
        delay_s = self._slowdown.wrong(peer, self._clock.monotonic())
        self._tell()
        return delay_s

    async def hold(self, peer: str, delay_s: float) -> int:
        """Wait before an answer; return 0, or at once after how many seconds to come again."""
        if not delay_s:
            return 0
        held = self._held.get(peer, 0)
        if held >= MOST_HELD_FOR_ONE or sum(self._held.values()) >= MOST_HELD:
            return math.ceil(delay_s)
        self._held[peer] = held + 1
        try:
            await self._clock.sleep(delay_s)
        finally:
            self._held[peer] -= 1
            if not self._held[peer]:
                del self._held[peer]
        return 0

    def close(self) -> None:
        """Tell nothing more."""
        if self._telling is not None:
            self._telling.cancel()

    def _tell(self) -> None:
        for address, count in self._slowdown.to_tell(self._clock.monotonic()):
            _log.warning("wrong credentials", address=address, count=count)
        if self._telling is None or self._telling.done():
            self._telling = asyncio.create_task(self._tell_later())

    async def _tell_later(self) -> None:
        while len(self._slowdown):
            await self._clock.sleep(TOLD_EVERY_S)
            self._tell()
