"""Random commands do the same to log and ledger on SQLite as to those in memory."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from hypothesis import settings

from busway.clock import SystemClock
from busway.engine.sqlite import SqliteLedger, SqliteLog
from busway.engine.sqlite.directory import LEDGER_FILE, LOG_FILE, create_files, identify
from busway.engine.sqlite.quota import Quota
from effort import examples
from ledger_machine import LedgerMachine
from log_machine import PARTITIONS, LogMachine


class SqliteLedgerMachine(LedgerMachine):
    def __init__(self) -> None:
        self.place = tempfile.TemporaryDirectory()
        super().__init__(asyncio.Runner())

    async def opened(self) -> SqliteLedger:
        path = Path(self.place.name)
        create_files(path, 1)
        return SqliteLedger(path / LEDGER_FILE)

    def teardown(self) -> None:
        super().teardown()
        self.runner.close()
        self.place.cleanup()


class SqliteLogMachine(LogMachine):
    def __init__(self) -> None:
        self.place = tempfile.TemporaryDirectory()
        super().__init__(asyncio.Runner())

    async def opened(self) -> SqliteLog:
        path = Path(self.place.name)
        create_files(path, PARTITIONS)
        return SqliteLog(path / LOG_FILE, identify(path), Quota(path, SystemClock()))

    def teardown(self) -> None:
        super().teardown()
        self.runner.close()
        self.place.cleanup()


TestLedgerMachine = SqliteLedgerMachine.TestCase
TestLedgerMachine.settings = settings(max_examples=examples(15), stateful_step_count=50)
TestLogMachine = SqliteLogMachine.TestCase
TestLogMachine.settings = settings(max_examples=examples(12), stateful_step_count=50)
