"""Time, ids and randomness, handed in so that policy can be tested without waiting."""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from datetime import UTC, datetime
from typing import Protocol

_ID_NAMESPACE = uuid.UUID("5f0a3c1e-7a3d-5b0e-9c55-62757377617a")


class Clock(Protocol):
    """What tells the time and waits; a test hands in one that is turned by hand."""

    def now(self) -> datetime:
        """The wall-clock time, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds since some fixed point; never goes back, and counts a machine's sleep."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after ``seconds``."""
        ...


_SLEEP_COUNTS: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Linux has two clocks that never go back: the other one stands still while the machine sleeps."""


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.clock_gettime(_SLEEP_COUNTS)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def uuid7(unix_ms: int, random: bytes) -> str:
    """Return a UUIDv7 (RFC 9562, section 5.7) of a time and 10 random bytes.

    >>> uuid7(0x017F22E279B0, bytes(10))
    '017f22e2-79b0-7000-8000-000000000000'
    """
    value = (unix_ms & (1 << 48) - 1) << 80 | int.from_bytes(random, "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return str(uuid.UUID(int=value))


def new_id() -> str:
    """Return a fresh, time-ordered id for an event that came without one."""
    return uuid7(time.time_ns() // 1_000_000, os.urandom(10))


def derived_id(flow: str, event_id: str, index: int) -> str:
    """Return the id of the ``index``-th output of ``flow`` for an event: the same each time.

    It is a UUIDv5 (RFC 9562, section 5.5), so that doing a step twice is doing it once.
    """
    return str(uuid.uuid5(_ID_NAMESPACE, f"{flow}\0{event_id}\0{index}"))
