"""Rows of the ledger's tables in PostgreSQL, which keeps times as they are."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from busway.engine.postgres.database import Row
from busway.engine.row import Rows


def _same(at: datetime) -> datetime:
    return at


ROWS = Rows(stored=_same, restored=_same)


def columns(rows: Sequence[Row]) -> Sequence[Row]:
    """Return rows as columns, for a statement that takes arrays."""
    return list(zip(*rows, strict=True))
