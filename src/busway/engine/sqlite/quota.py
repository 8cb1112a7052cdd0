"""Whether there is room for more, asked before every append and measured rarely."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from busway.clock import Clock
from busway.errors import StoreFull

_MEASUREMENT_TTL_S = 0.1


class Quota:
    """The limits of a log: ``max_bytes`` for itself (0 for none), ``min_free_bytes`` of the disk.

    Between two measurements what was appended is counted as used up. Others use the disk and the
    log too, so both are measured again after a tenth of a second.
    """

    def __init__(self, path: Path, limits: tuple[int, int], clock: Clock) -> None:
        self._path = path
        self._max_bytes, self._min_free_bytes = limits
        self._clock = clock
        self._remaining = 0
        self._measured_at = float("-inf")

    def reserve(self, size_bytes: int, used_bytes: Callable[[], int]) -> None:
        """Raise :class:`StoreFull` when ``size_bytes`` bytes do not fit."""
        stale = self._clock.monotonic() - self._measured_at > _MEASUREMENT_TTL_S
        if size_bytes > self._remaining or stale:
            self._remaining = self._measure(used_bytes)
            self._measured_at = self._clock.monotonic()
        if size_bytes > self._remaining:
            raise StoreFull(f"{self._path}: {self._full_reason(used_bytes)}")
        self._remaining -= size_bytes

    def _measure(self, used_bytes: Callable[[], int]) -> int:
        left = self._free_bytes() - self._min_free_bytes
        return min(left, self._max_bytes - used_bytes()) if self._max_bytes else left

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
