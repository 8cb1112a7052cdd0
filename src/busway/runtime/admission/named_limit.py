"""What keeps the named limits of a program while it runs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from busway.clock import Clock
from busway.flow.limit import CompiledLimit
from busway.runtime.admission.concurrency_limiter import ConcurrencyLimiter
from busway.runtime.admission.throttle import RateLimiter


class NamedLimit:
    """One limit: its pace and its slots, for all flows and steps that share it."""

    def __init__(self, record: CompiledLimit, clock: Clock) -> None:
        self.rate_limiter = RateLimiter(record.rate, clock)
        self.concurrency_limiter = ConcurrencyLimiter(record.concurrency, clock)
        self.loop = asyncio.get_running_loop()

    async def acquire(self) -> None:
        """Return when one more may use what is limited; then it must ``release``."""
        await self.concurrency_limiter.acquire()
        try:
            await self.rate_limiter.acquire(1)
        except BaseException:
            self.concurrency_limiter.release()
            raise

    def release(self, took_s: float | None) -> None:
        """Let the next one in."""
        self.concurrency_limiter.release(took_s)


def named_limits(records: Sequence[CompiledLimit], clock: Clock) -> Mapping[str, NamedLimit]:
    """Return what keeps each limit, by name."""
    return {record.name: NamedLimit(record, clock) for record in records}
