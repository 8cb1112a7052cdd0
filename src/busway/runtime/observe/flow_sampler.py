"""Where the events of each flow are, measured once for all the loops that look once a second."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from busway.clock import Clock
from busway.control.flow.status import FlowStatus, flow_statuses
from busway.ports import Ledger, Log

FRESH_S = 0.5


class FlowSampler:
    """Keeps the last measurement for half a second."""

    def __init__(self, log: Log, ledger: Ledger, clock: Clock) -> None:
        self._log = log
        self._ledger = ledger
        self._clock = clock
        self._lock = asyncio.Lock()
        self._flows: Sequence[FlowStatus] = ()
        self._sampled_at = float("-inf")

    async def flows(self) -> Sequence[FlowStatus]:
        """Return the status of each flow that has a lane, by name."""
        async with self._lock:
            if self._clock.monotonic() - self._sampled_at > FRESH_S:
                at, ahead = self._clock.now(), self._clock.wall_clock_offset()
                self._flows = await flow_statuses(self._log, self._ledger, None, at, ahead)
                self._sampled_at = self._clock.monotonic()
            return self._flows
