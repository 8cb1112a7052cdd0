"""The ``start`` option: where a new flow starts."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from busway.errors import SettingsError

StartPosition = Literal["end", "beginning"] | datetime
"""The end of the log, the first event that it still holds, or the first event after a time."""


def parse_start_position(given: object) -> StartPosition:
    """Return the start position: ``"end"``, ``"beginning"`` or a time.

    >>> parse_start_position("2026-03-01T08:00:00Z")
    datetime.datetime(2026, 3, 1, 8, 0, tzinfo=datetime.timezone.utc)

    Raises :class:`SettingsError` for any other value, and for a time without a time zone.
    """
    if given in ("end", "beginning"):
        return "end" if given == "end" else "beginning"
    position = _time(given) if isinstance(given, str) else given
    if not isinstance(position, datetime):
        fix = "use 'end', 'beginning' or a time like '2026-03-01T08:00:00Z'"
        raise SettingsError(f"invalid start {given!r}: {fix}")
    if position.tzinfo is None:
        raise SettingsError(f"invalid start {given!r}: add a time zone, like Z or +01:00")
    return position


def _time(text: str) -> datetime | None:
    try:
        return msgspec.convert(text, datetime)
    except msgspec.ValidationError:
        return None
