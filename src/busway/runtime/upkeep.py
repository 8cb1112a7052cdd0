"""The upkeep loop: retention, and whatever maintenance the stores ask for."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from busway.clock import Clock
from busway.control.replay.operation import readers
from busway.lane import Lane
from busway.ports import Ledger, Log, Maintained
from busway.runtime.loop import Loop

EVERY_S = 1.0
FORGET_EVERY_S = 60.0


class Retention(msgspec.Struct, frozen=True):
    """How long events that every lane has read are kept; a size of 0 sets no limit."""

    age_s: float
    size_bytes: int


class Upkeep:
    """Trims the log, forgets what is as old in the ledger, and maintains the stores."""

    def __init__(self, log: Log, ledger: Ledger, clock: Clock, retention: Retention) -> None:
        self._log = log
        self._ledger = ledger
        self._clock = clock
        self._retention = retention
        self._forgets_at = clock.monotonic()

    async def turn(self, loop: Loop) -> None:
        """Do what is due, then wait."""
        for store in (self._log, self._ledger):
            if isinstance(store, Maintained):
                await store.maintain()
        lanes = await readers(self._ledger, await self._ledger.lanes())
        for partition in range(self._log.partitions):
            await self._trim(partition, lanes)
        if self._clock.monotonic() >= self._forgets_at:
            await self._ledger.forget(self._kept_since())
            self._forgets_at = self._clock.monotonic() + FORGET_EVERY_S
        with loop.idle():
            await self._clock.sleep(EVERY_S)

    async def _trim(self, partition: int, lanes: Sequence[Lane]) -> None:
        start, end = await self._log.bounds(partition)
        wanted = await self._log.offset_at(partition, self._kept_since())
        if await self._over_size():
            wanted = max(wanted, start + max((end - start) // 8, 1))
        read = min((lane.cursor for lane in lanes if lane.partition == partition), default=end)
        if min(wanted, read) > start:
            await self._log.trim(partition, min(wanted, read))

    def _kept_since(self) -> datetime:
        """Return since when events are kept, by whichever clock is behind if one was set."""
        ahead = max(self._clock.ahead(), timedelta(0))
        return self._clock.now() - ahead - timedelta(seconds=self._retention.age_s)

    async def _over_size(self) -> bool:
        limit = self._retention.size_bytes
        return bool(limit) and await self._log.size_bytes() > limit
