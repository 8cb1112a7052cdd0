"""Which flows have something to retry: one question to the ledger for all who ask at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from busway.clock import Clock
from busway.ports import Ledger

FRESH_S = 0.25
"""How old an answer may be."""


class DueRetries:
    """Knows which flows have parked events that are due; hundreds of idle flows cost what one does.

    What one flow has learned others may hear, so an answer may lack what came since.
    """

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        self._flows: Collection[str] = ()
        self._queried_at = float("-inf")
        self._query_lock = asyncio.Lock()

    async def has_due(self, flow: str) -> bool:
        """Say whether a flow had something due a moment ago."""
        async with self._query_lock:
            now = self._clock.monotonic()
            if now - self._queried_at >= FRESH_S:
                self._flows = await self._ledger.due_flows(self._clock.now())
                self._queried_at = now
        return flow in self._flows
