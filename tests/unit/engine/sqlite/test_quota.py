"""Whether there is room: exact for the log's own limit, fresh enough for the disk's."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from busway.engine.sqlite.quota import Quota
from busway.errors import StoreFull
from busway.testing import ManualClock


class Used:
    def __init__(self) -> None:
        self.bytes = 0
        self.asked = 0

    def __call__(self) -> int:
        self.asked += 1
        return self.bytes


def test_the_limit_of_the_log_is_exact(tmp_path: Path) -> None:
    used, room = Used(), Quota(tmp_path / "log.db", ManualClock(), 1000, 0)
    for _ in range(10):
        room.reserve(100, used)
        used.bytes += 100
    assert used.asked < 5
    with pytest.raises(StoreFull, match=r"takes up 1000 bytes and max_log_bytes is 1000; raise it"):
        room.reserve(1, used)
    used.bytes = 500
    room.reserve(400, used)


def test_freed_space_is_noticed(tmp_path: Path) -> None:
    used, room = Used(), Quota(tmp_path / "log.db", ManualClock(), 1000, 0)
    room.reserve(900, used)
    used.bytes = 10
    room.reserve(900, used)


def test_appends_of_other_processes_are_noticed_after_a_while(tmp_path: Path) -> None:
    used, clock = Used(), ManualClock()
    room = Quota(tmp_path / "log.db", clock, 1000, 0)
    room.reserve(100, used)
    used.bytes = 1000
    asyncio.run(clock.advance(0.2))
    with pytest.raises(StoreFull, match="max_log_bytes is 1000"):
        room.reserve(100, used)


def test_a_full_disk_is_noticed_after_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = os.statvfs(tmp_path)
    free = disk.f_bavail * disk.f_frsize
    clock = ManualClock()
    room = Quota(tmp_path / "log.db", clock, 0, free // 2)
    room.reserve(1, Used())
    measured = list(disk)
    measured[4] = disk.f_bavail // 4
    monkeypatch.setattr(os, "statvfs", lambda path: os.statvfs_result(measured))
    room.reserve(1, Used())
    asyncio.run(clock.advance(0.2))
    with pytest.raises(StoreFull, match="make room on the disk"):
        room.reserve(1, Used())
    monkeypatch.undo()
    room.reserve(1, Used())
