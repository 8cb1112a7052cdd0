"""Check before every append that there is room, measuring rarely."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from busway.clock import Clock
from busway.errors import StoreFull

_MEASUREMENT_TTL_S = 0.1


class Quota:
    """The limits of a log: ``max_bytes`` for itself (0 for none), ``min_free_bytes`` of the disk.

    Between two measurements it counts the appended bytes. Others use the disk and the log too, so
    it measures both again after a tenth of a second.
    """

    def __init__(
        self, path: Path, clock: Clock, max_bytes: int = 0, min_free_bytes: int = 0
    ) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._min_free_bytes = min_free_bytes
        self._clock = clock
        self._remaining = 0
        self._measured_at = float("-inf")

    def reserve(self, size_bytes: int, used_bytes: Callable[[], int]) -> None:
        """Raise :class:`StoreFull` if ``size_bytes`` bytes do not fit."""
        is_stale = self._clock.monotonic() - self._measured_at > _MEASUREMENT_TTL_S
        if size_bytes > self._remaining or is_stale:
            self._remaining = self._measure(used_bytes)
            self._measured_at = self._clock.monotonic()
        if size_bytes > self._remaining:
            raise StoreFull(f"{self._path}: {self._full_reason(used_bytes)}")
        self._remaining -= size_bytes

    def _measure(self, used_bytes: Callable[[], int]) -> int:
        free = self._free_bytes() - self._min_free_bytes
        return min(free, self._max_bytes - used_bytes()) if self._max_bytes else free

    def _full_reason(self, used_bytes: Callable[[], int]) -> str:
        if self._free_bytes() - self._min_free_bytes <= self._remaining:
            return (
                f"the disk has {self._free_bytes()} bytes left and min_free_bytes is "
                f"{self._min_free_bytes}; make room on the disk"
            )
        return (
            f"the log takes up {used_bytes()} bytes and max_log_bytes is {self._max_bytes}; "
            "raise it, or let flows catch up so that old events can go"
        )

    def _free_bytes(self) -> int:
        disk = os.statvfs(self._path.parent)
        return disk.f_bavail * disk.f_frsize
