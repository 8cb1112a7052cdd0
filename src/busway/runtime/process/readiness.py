"""Whether a process can do its work now: what its health check answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from busway.clock import Clock
from busway.errors import StoreError
from busway.ports import Log
from busway.runtime.loop import Loop

EVERY_S = 1.0
WITHIN_S = 8.0
"""How long the log may take to answer."""

Doubt = Callable[[], str | None]
"""Returns why something does not go now, ``None`` when it does."""


class Readiness:
    """Asks the log again and again whether it is there; the rest it asks when it is asked.

    The partitions take turns, one a second; one that does not answer is asked until it does.
    ``stage`` is what the process is at while it does not work: it starts, it stops.
    """

    def __init__(self, log: Log, clock: Clock, doubts: Sequence[Doubt] = ()) -> None:
        self.stage: str | None = "starting"
        self._log = log
        self._clock = clock
        self._doubts = doubts
        self._unanswered: str | None = None
        self._partition = 0

    def why_not(self) -> str | None:
        """Return why the process is not ready, ``None`` when it is."""
        found = self.stage or self._unanswered
        return found or next((why for doubt in self._doubts if (why := doubt())), None)

    async def turn(self, loop: Loop) -> None:
        """Ask the log, and wait."""
        self._unanswered = await self._asked()
        with loop.idle():
            await self._clock.sleep(EVERY_S)

    async def _asked(self) -> str | None:
        try:
            async with asyncio.timeout(WITHIN_S):
                await self._log.bounds(self._partition)
        except StoreError as error:
            return f"the log cannot be used: {error}"
        except TimeoutError:
            return "the log does not answer"
        self._partition = (self._partition + 1) % self._log.partitions
        return None
