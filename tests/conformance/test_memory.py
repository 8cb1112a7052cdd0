"""The engine in memory keeps what the suites ask for."""

from __future__ import annotations

from pathlib import Path

from busway.ports import Ledger, Log
from busway.testing import MemoryLedger, MemoryLog
from busway.testing.ledger_suite import LedgerSuite
from busway.testing.log_suite import FullLogSuite, LogSuite


class TestMemoryLog(LogSuite, FullLogSuite):
    async def open_log(self, place: Path, partitions: int) -> Log:
        return MemoryLog(partitions)

    async def open_small_log(self, place: Path, max_bytes: int) -> Log:
        return MemoryLog(1, max_bytes=max_bytes)


class TestMemoryLedger(LedgerSuite):
    async def open_ledger(self, place: Path) -> Ledger:
        return MemoryLedger()
