"""Whether there is room for more, asked before every append and measured rarely."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from busway.clock import Clock
from busway.errors import StoreFull

_FRESH_S = 0.1


class Room:
    """The limits of a log: ``max_bytes`` for itself (0 for none), ``min_free_bytes`` of the disk.

    Between two measurements what was appended is counted as used up. Others use the disk and the
    log too, so both are measured again after a tenth of a second.
    """

    def __init__(self, path: Path, limits: tuple[int, int], clock: Clock) -> None:
        self._path = path
        self._max_bytes, self._min_free_bytes = limits
        self._clock = clock
        self._left = 0
        self._measured_at = float("-inf")

    def take(self, wanted: int, used_bytes: Callable[[], int]) -> None:
        """Raise :class:`StoreFull` when ``wanted`` bytes do not fit."""
        stale = self._clock.monotonic() - self._measured_at > _FRESH_S
        if wanted > self._left or stale:
            self._left = self._measured(used_bytes)
            self._measured_at = self._clock.monotonic()
        if wanted > self._left:
            raise StoreFull(f"{self._path}: {self._reason(used_bytes)}")
        self._left -= wanted

    def _measured(self, used_bytes: Callable[[], int]) -> int:
        left = self._free() - self._min_free_bytes
        return min(left, self._max_bytes - used_bytes()) if self._max_bytes else left

    def _reason(self, used_bytes: Callable[[], int]) -> str:
        if self._free() - self._min_free_bytes <= self._left:
            return (
                f"the disk has {self._free()} bytes left and min_free_bytes is "
                f"{self._min_free_bytes}; make room on the disk"
            )
        return (
            f"the log takes up {used_bytes()} bytes and max_log_bytes is {self._max_bytes}; "
            "raise it, or let flows catch up so that old events can go"
        )

    def _free(self) -> int:
        disk = os.statvfs(self._path.parent)
        return disk.f_bavail * disk.f_frsize
