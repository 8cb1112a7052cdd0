"""Rows of the ledger's tables in SQLite, which stores times as numbers."""

from __future__ import annotations

from operator import itemgetter

from busway.engine.row_codec import RowCodec
from busway.engine.sqlite.timestamp import from_microseconds, to_microseconds

ROW_CODEC = RowCodec(to_microseconds, from_microseconds)
state_update_values = itemgetter(0, 1, 2, 4, 5, 6, 7, 14, 3, 8, 9, 10, 11, 12, 13)
"""The columns of a failed event: first its state, then those that a change of state leaves."""
