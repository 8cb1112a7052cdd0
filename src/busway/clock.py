"""Time, ids and randomness, handed in so that policy can be tested without waiting."""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import Protocol

import msgspec

_ID_NAMESPACE = uuid.UUID("5f0a3c1e-7a3d-5b0e-9c55-62757377617a")


class Clock(Protocol):
    """What tells the time and waits; a test hands in one that is turned by hand."""

    def now(self) -> datetime:
        """The time, aware, in UTC; it advances with :meth:`monotonic`, also if the machine's clock
        is set."""
        ...

    def wall_clock_offset(self) -> timedelta:
        """How far :meth:`now` is ahead of the machine's clock, which was set; below zero: behind.

        What goes by the calendar takes it off.
        """
        ...

    def continue_from(self, time: datetime) -> bool:
        """Continue from a time that it should be now, because the machine's clock was set.

        Returns whether it does: not if that is further away than a clock is set by accident.
        """
        ...

    def monotonic(self) -> float:
        """Seconds since some fixed point; never goes back, and counts a machine's sleep."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after ``seconds``."""
        ...


_BOOT_CLOCK: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Linux has two clocks that never go back: the other one stands still while the machine sleeps."""


MAX_SLEW_RATIO = 0.05
"""How much faster or slower time may go until it is that of the machine's clock again."""
STEP_THRESHOLD = timedelta(milliseconds=250)
"""A difference that is so small is no clock that was set: it is followed at once, forwards."""
MAX_CLOCK_STEP = timedelta(days=1)
"""How far a clock is set by accident; beyond that it was wrong before."""


class ClockReading(msgspec.Struct, frozen=True):
    """What the time was ``monotonic_s`` a number of monotonic seconds."""

    monotonic_s: float
    time: datetime


def advance(last: ClockReading | None, at: float, wall: datetime) -> ClockReading:
    """Return the time at a number of monotonic seconds, when the machine's clock shows
    ``wall_clock``.

    As many seconds have passed since the last reading as have by the monotonic clock. If the
    machine's clock disagrees, it was set: the time approaches it, 3 seconds in a minute, so that
    a wait takes at most that much more or less.
    """
    if last is None:
        return ClockReading(at, wall)
    passed = timedelta(seconds=max(at - last.monotonic_s, 0.0))
    expected, most = last.time + passed, passed * MAX_SLEW_RATIO
    gap = wall - expected
    if -most <= gap <= max(most, STEP_THRESHOLD):
        return ClockReading(at, wall)
    return ClockReading(at, expected + (most if gap > timedelta(0) else -most))


class SystemClock:
    """The machine's own clock; a clock that is set changes no wait that has begun."""

    _last: ClockReading | None = None

    def now(self) -> datetime:
        return self._read(self.wall_clock()).time

    def wall_clock_offset(self) -> timedelta:
        wall = self.wall_clock()
        return self._read(wall).time - wall

    def continue_from(self, time: datetime) -> bool:
        found = self._read(self.wall_clock())
        if abs(found.time - time) > MAX_CLOCK_STEP:
            return False
        self._last = ClockReading(found.monotonic_s, time)
        return True

    def wall_clock(self) -> datetime:
        """What the machine's clock shows."""
        return datetime.now(UTC)

    def _read(self, wall: datetime) -> ClockReading:
        self._last = found = advance(self._last, self.monotonic(), wall)
        return found

    def monotonic(self) -> float:
        return time.clock_gettime(_BOOT_CLOCK)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def append_time(clock: Clock) -> datetime:
    """Return the time for what comes now, whichever is later: of the clock or of the machine's.

    After the machine's clock was set forward it is that at once; after it was set back it does not
    go back.
    """
    return clock.now() - min(clock.wall_clock_offset(), timedelta(0))


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
