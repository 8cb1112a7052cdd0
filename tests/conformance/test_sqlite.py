"""SQLite keeps what the suites ask for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from busway.clock import SystemClock
from busway.engine.sqlite import SharedSqliteLog, SqliteLedger, SqliteLog
from busway.engine.sqlite.directory import LEDGER_FILE, LOG_FILE, create_files, identify
from busway.engine.sqlite.quota import Quota
from busway.ports import Ledger, Log
from busway.testing.ledger_suite import DurableLedgerSuite
from busway.testing.log_suite import DurableLogSuite, FullLogSuite


def sqlite_log(place: Path, partitions: int, max_bytes: int = 0) -> SqliteLog:
    create_files(place, partitions)
    room = Quota(place / LOG_FILE, SystemClock(), max_bytes)
    return SqliteLog(place / LOG_FILE, identify(place), room)


class TestSqliteLog(DurableLogSuite, FullLogSuite):
    async def open_log(self, place: Path, partitions: int) -> Log:
        return sqlite_log(place, partitions)

    async def open_again(self, place: Path, log: Log) -> None:
        """Nobody else may have it open."""

    async def open_small_log(self, place: Path, max_bytes: int) -> Log:
        return sqlite_log(place, 1, max_bytes)


class Alone:
    """Hints where nobody else is."""

    def notify(self) -> None: ...

    def subscribe(self, look: Callable[[], None]) -> None: ...


def shared_log(place: Path, partitions: int, max_bytes: int = 0) -> SharedSqliteLog:
    create_files(place, partitions)
    room = Quota(place / LOG_FILE, SystemClock(), max_bytes)
    return SharedSqliteLog(place / LOG_FILE, identify(place), room, Alone())


class TestSharedSqliteLog(DurableLogSuite, FullLogSuite):
    async def open_log(self, place: Path, partitions: int) -> Log:
        return shared_log(place, partitions)

    async def open_small_log(self, place: Path, max_bytes: int) -> Log:
        return shared_log(place, 1, max_bytes)


class TestSqliteLedger(DurableLedgerSuite):
    async def open_ledger(self, place: Path) -> Ledger:
        create_files(place, 1)
        return SqliteLedger(place / LEDGER_FILE)
