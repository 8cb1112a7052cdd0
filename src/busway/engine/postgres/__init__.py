"""Log and ledger in PostgreSQL: the engine of several machines."""

from __future__ import annotations

from busway.engine.postgres.ledger import PostgresLedger
from busway.engine.postgres.log import PostgresLog

__all__ = ["PostgresLedger", "PostgresLog"]
