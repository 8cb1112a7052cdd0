"""Time, ids and randomness, passed in so that policy can be tested without waiting."""

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
    """Tells the time and sleeps; tests pass a manual clock."""

    def now(self) -> datetime:
        """The time, aware, in UTC; it advances with :meth:`monotonic`, even if the wall clock is
        set."""
        ...

    def wall_clock_offset(self) -> timedelta:
        """How far :meth:`now` is ahead of the wall clock after that was set; negative: behind.

        Callers that follow the calendar subtract it.
        """
        ...

    def continue_from(self, time: datetime) -> bool:
        """Continue from ``time`` instead, because the wall clock was set.

        Returns false, and does nothing, if ``time`` is further away than a clock is set by
        accident.
        """
        ...

    def monotonic(self) -> float:
        """Seconds since a fixed point; never goes back, and includes the time of a suspend."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after ``seconds``."""
        ...


_BOOT_CLOCK: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Unlike ``CLOCK_MONOTONIC``, it advances while the machine is suspended."""


MAX_SLEW_RATIO = 0.05
"""How much faster or slower time may run until it agrees with the wall clock again."""
STEP_THRESHOLD = timedelta(milliseconds=250)
"""A smaller difference does not mean that the clock was set: it is followed at once, forwards."""
MAX_CLOCK_STEP = timedelta(days=1)
"""How far a clock is set by accident; a larger step means that it was wrong before."""


class ClockReading(msgspec.Struct, frozen=True):
    """The time at a number of monotonic seconds."""

    monotonic_s: float
    time: datetime


def advance(last: ClockReading | None, at: float, wall: datetime) -> ClockReading:
    """Return the time at ``at`` monotonic seconds, when the wall clock shows ``wall``.

    The time advances by the monotonic seconds since the last reading. If the wall clock disagrees,
    it was set: the time approaches it by 3 seconds per minute, so that a wait is at most that much
    longer or shorter.
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
    """The machine's clock; setting it does not disturb waits that have begun."""

    _last: ClockReading | None = None

    def now(self) -> datetime:
        return self._read(self.wall_clock()).time

    def wall_clock_offset(self) -> timedelta:
        wall = self.wall_clock()
        return self._read(wall).time - wall

    def continue_from(self, time: datetime) -> bool:
        reading = self._read(self.wall_clock())
        if abs(reading.time - time) > MAX_CLOCK_STEP:
            return False
        self._last = ClockReading(reading.monotonic_s, time)
        return True

    def wall_clock(self) -> datetime:
        """The time that the machine's clock shows."""
        return datetime.now(UTC)

    def _read(self, wall: datetime) -> ClockReading:
        self._last = reading = advance(self._last, self.monotonic(), wall)
        return reading

    def monotonic(self) -> float:
        return time.clock_gettime(_BOOT_CLOCK)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def append_time(clock: Clock) -> datetime:
    """Return the time of an append: the later one of the clock and the wall clock.

    It follows a wall clock that was set forward at once, and does not go back when it is set back.
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
    """Return the id of the ``index``-th output of ``flow`` for an event: always the same.

    It is a UUIDv5 (RFC 9562, section 5.5), so that an output that is repeated is a duplicate.
    """
    return str(uuid.uuid5(_ID_NAMESPACE, f"{flow}\0{event_id}\0{index}"))
