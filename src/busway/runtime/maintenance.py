"""The upkeep loop: retention, and whatever maintenance the stores ask for."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from busway.clock import Clock
from busway.control.replay.operation import retaining_lanes
from busway.lane import Lane
from busway.ports import Ledger, Log, NeedsMaintenance
from busway.runtime.loop import Loop

INTERVAL_S = 1.0
PURGE_INTERVAL_S = 60.0


class Retention(msgspec.Struct, frozen=True):
    """How long events that every lane has read are kept; a size of 0 sets no limit."""

    age_s: float
    size_bytes: int


class Maintenance:
    """Trims the log, forgets what is as old in the ledger, and maintains the stores."""

    def __init__(self, log: Log, ledger: Ledger, clock: Clock, retention: Retention) -> None:
        self._log = log
        self._ledger = ledger
        self._clock = clock
        self._retention = retention
        self._purges_at = clock.monotonic()

    async def run_once(self, loop: Loop) -> None:
        """Do what is due, then wait."""
        for store in (self._log, self._ledger):
            if isinstance(store, NeedsMaintenance):
                await store.maintain()
        lanes = await retaining_lanes(self._ledger, await self._ledger.lanes())
        for partition in range(self._log.partitions):
            await self._trim(partition, lanes)
        if self._clock.monotonic() >= self._purges_at:
            await self._ledger.prune_history(self._retained_since())
            self._purges_at = self._clock.monotonic() + PURGE_INTERVAL_S
        with loop.interruptible():
            await self._clock.sleep(INTERVAL_S)

    async def _trim(self, partition: int, lanes: Sequence[Lane]) -> None:
        start, end = await self._log.bounds(partition)
        wanted = await self._log.offset_at(partition, self._retained_since())
        if await self._is_over_size():
            wanted = max(wanted, start + max((end - start) // 8, 1))
        read = min((lane.cursor for lane in lanes if lane.partition == partition), default=end)
        if min(wanted, read) > start:
            await self._log.trim(partition, min(wanted, read))

    def _retained_since(self) -> datetime:
        """Return since when events are kept, by whichever clock is behind if one was set."""
        ahead = max(self._clock.wall_clock_offset(), timedelta(0))
        return self._clock.now() - ahead - timedelta(seconds=self._retention.age_s)

    async def _is_over_size(self) -> bool:
        limit = self._retention.size_bytes
        return bool(limit) and await self._log.size_bytes() > limit
