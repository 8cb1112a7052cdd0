"""Rows of the ledger's tables in PostgreSQL, which has a type for times."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from busway.engine.postgres.database import Row
from busway.engine.row_codec import RowCodec


def _unchanged(at: datetime) -> datetime:
    return at


ROW_CODEC = RowCodec(encode_time=_unchanged, decode_time=_unchanged)


def transpose(rows: Sequence[Row]) -> Sequence[Row]:
    """Return rows as columns, for a statement that takes arrays."""
    return list(zip(*rows, strict=True))
