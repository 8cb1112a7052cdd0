"""What keeps the named limits of a program while it runs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from busway.clock import Clock
from busway.flow.limit import LimitRecord
from busway.runtime.hold.pace import Pace
from busway.runtime.hold.permit import Slots


class NamedLimit:
    """One limit: its pace and its slots, for all flows and steps that share it."""

    def __init__(self, record: LimitRecord, clock: Clock) -> None:
        self.pace = Pace(record.rate, clock)
        self.slots = Slots(record.concurrency, clock)
        self.loop = asyncio.get_running_loop()

    async def enter(self) -> None:
        """Return when one more may use what is limited; then it must ``leave``."""
        await self.slots.acquire()
        try:
            await self.pace.allow(1)
        except BaseException:
            self.slots.release()
            raise

    def leave(self, took_s: float | None) -> None:
        """Let the next one in."""
        self.slots.release(took_s)


def limits_of(records: Sequence[LimitRecord], clock: Clock) -> Mapping[str, NamedLimit]:
    """Return what keeps each limit, by name."""
    return {record.name: NamedLimit(record, clock) for record in records}
