"""SQLite keeps what the suites ask for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from busway.clock import SystemClock
from busway.engine.sqlite import SharedSqliteLog, SqliteLedger, SqliteLog
from busway.engine.sqlite.directory import LEDGER, LOG, identify, prepare
from busway.engine.sqlite.room import Room
from busway.ports import Ledger, Log
from busway.testing.ledger_suite import DurableLedgerSuite
from busway.testing.log_suite import DurableLogSuite, FullLogSuite


def sqlite_log(place: Path, partitions: int, max_bytes: int = 0) -> SqliteLog:
    prepare(place, partitions)
    room = Room(place / LOG, (max_bytes, 0), SystemClock())
    return SqliteLog(place / LOG, identify(place), room)


class TestSqliteLog(DurableLogSuite, FullLogSuite):
    async def open_log(self, place: Path, partitions: int) -> Log:
        return sqlite_log(place, partitions)

    async def open_beside(self, place: Path, log: Log) -> None:
        """Nobody else may have it open."""

    async def open_small_log(self, place: Path, max_bytes: int) -> Log:
        return sqlite_log(place, 1, max_bytes)


class Alone:
    """Hints where nobody else is."""

    def tell(self) -> None: ...

    def hear(self, look: Callable[[], None]) -> None: ...


def shared_log(place: Path, partitions: int, max_bytes: int = 0) -> SharedSqliteLog:
    prepare(place, partitions)
    room = Room(place / LOG, (max_bytes, 0), SystemClock())
    return SharedSqliteLog(place / LOG, identify(place), room, Alone())


class TestSharedSqliteLog(DurableLogSuite, FullLogSuite):
    async def open_log(self, place: Path, partitions: int) -> Log:
        return shared_log(place, partitions)

    async def open_small_log(self, place: Path, max_bytes: int) -> Log:
        return shared_log(place, 1, max_bytes)


class TestSqliteLedger(DurableLedgerSuite):
    async def open_ledger(self, place: Path) -> Ledger:
        prepare(place, 1)
        return SqliteLedger(place / LEDGER)
