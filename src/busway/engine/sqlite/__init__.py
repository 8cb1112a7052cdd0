"""Log and ledger on SQLite, in one data directory: the engine of a single machine."""

from __future__ import annotations

from busway.engine.sqlite.engine import SqliteEngine
from busway.engine.sqlite.ledger import SqliteLedger
from busway.engine.sqlite.log import SqliteLog
from busway.engine.sqlite.shared_log import SharedSqliteLog

__all__ = ["SharedSqliteLog", "SqliteEngine", "SqliteLedger", "SqliteLog"]
