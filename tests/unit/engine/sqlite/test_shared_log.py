"""The shared log of one that learned nothing while others appended and trimmed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from busway.clock import SystemClock
from busway.engine.sqlite import SharedSqliteLog
from busway.engine.sqlite.directory import LOG_FILE, create_files, identify
from busway.engine.sqlite.quota import Quota
from busway.ports import NewBatch

AT = datetime(2030, 1, 1, tzinfo=UTC)


class Deaf:
    """Hints that never come."""

    def notify(self) -> None: ...

    def subscribe(self, look: Callable[[], None]) -> None: ...


async def deaf_log(place: Path) -> SharedSqliteLog:
    room = Quota(place / LOG_FILE, SystemClock())
    log = SharedSqliteLog(place / LOG_FILE, identify(place), room, Deaf())
    log._poll_task.cancel()
    return log


async def test_an_append_follows_those_of_other_processes(tmp_path: Path) -> None:
    create_files(tmp_path, 2)
    first, second = await deaf_log(tmp_path), await deaf_log(tmp_path)
    await first.append([NewBatch(0, [b"a", b"b"])], AT)
    drafts = [NewBatch(1, [b"c"]), NewBatch(0, [b"d"]), NewBatch(0, [b"e", b"f"])]
    assert list(await second.append(drafts, AT)) == [0, 2, 3]
    assert await first.bounds(0) == (0, 5)
    await first.close()
    await second.close()


async def test_an_append_follows_a_concurrent_trim(tmp_path: Path) -> None:
    create_files(tmp_path, 1)
    first, second = await deaf_log(tmp_path), await deaf_log(tmp_path)
    await first.append([NewBatch(0, [b"a", b"b"])], AT)
    assert await first.trim(0, 2) == 2
    assert list(await second.append([NewBatch(0, [b"c"])], AT)) == [2]
    assert await first.bounds(0) == await second.bounds(0) == (2, 3)
    await first.close()
    await second.close()
