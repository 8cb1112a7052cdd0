"""Whether a process can do its work now: what its health check answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

from busway.clock import Clock
from busway.control.flow.status import FlowStatus
from busway.control.record import StuckRecord
from busway.errors import StoreError
from busway.ports import Log
from busway.runtime.loop import Loop

INTERVAL_S = 1.0
LOG_TIMEOUT_S = 8.0
"""How long the log may take to answer."""

ReadinessCheck = Callable[[], str | None]
"""Returns why something does not go now, ``None`` when it does."""


class Readiness:
    """Asks the log again and again whether it is there; the rest it asks when it is asked.

    The partitions take turns, one a second; one that does not answer is asked until it does.
    ``stage`` is what the process is at while it does not work: it starts, it stops.
    """

    def __init__(self, log: Log, clock: Clock, checks: Sequence[ReadinessCheck] = ()) -> None:
        self.stage: str | None = "starting"
        self._log = log
        self._clock = clock
        self._checks = checks
        self._log_problem: str | None = None
        self._partition = 0

    def not_ready_reason(self) -> str | None:
        """Return why the process is not ready, ``None`` when it is."""
        found = self.stage or self._log_problem
        return found or next((why for doubt in self._checks if (why := doubt())), None)

    async def run_once(self, loop: Loop) -> None:
        """Ask the log, and wait."""
        self._log_problem = await self._query_log()
        with loop.interruptible():
            await self._clock.sleep(INTERVAL_S)

    async def _query_log(self) -> str | None:
        try:
            async with asyncio.timeout(LOG_TIMEOUT_S):
                await self._log.bounds(self._partition)
        except StoreError as error:
            return f"the log cannot be used: {error}"
        except TimeoutError:
            return "the log does not answer"
        self._partition = (self._partition + 1) % self._log.partitions
        return None


def remarks(flows: Iterable[FlowStatus], loops: Iterable[StuckRecord]) -> Sequence[str]:
    """Return what does not get on though events are taken: flows anywhere, loops of here."""
    stuck = [
        f"flow {one.name} is stuck: {one.state_reason}" for one in flows if one.state == "stuck"
    ]
    return [*stuck, *(one.text for one in loops if not one.flow)]
