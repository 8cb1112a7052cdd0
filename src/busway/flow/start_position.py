"""Where a new flow begins: the ``start`` option."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from busway.errors import SettingsError

StartPosition = Literal["end", "beginning"] | datetime
"""At the end of the log, at the first event that it still holds, or at what came since a time."""


def parse_start_position(given: object) -> StartPosition:
    """Return where to begin, of ``"end"``, ``"beginning"`` or a time.

    >>> parse_start_position("2026-03-01T08:00:00Z")
    datetime.datetime(2026, 3, 1, 8, 0, tzinfo=datetime.timezone.utc)

    Raises :class:`SettingsError` for anything else, and for a time without its zone.
    """
    if given in ("end", "beginning"):
        return "end" if given == "end" else "beginning"
    found = _time(given) if isinstance(given, str) else given
    if not isinstance(found, datetime):
        fix = "give 'end', 'beginning' or a time like '2026-03-01T08:00:00Z'"
        raise SettingsError(f"start is {given!r}; {fix}")
    if found.tzinfo is None:
        raise SettingsError(f"start is {given!r}, a time without a zone; add Z, or +01:00")
    return found


def _time(text: str) -> datetime | None:
    try:
        return msgspec.convert(text, datetime)
    except msgspec.ValidationError:
        return None
