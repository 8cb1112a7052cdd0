"""Times as people give them to a command."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from busway import duration
from busway.errors import BuswayError, SettingsError


def moment(text: str | None, now: datetime | None = None) -> datetime | None:
    """Return a time: RFC 3339, or how long ago (``"2h"``); without a zone it is this machine's.

    >>> moment("2026-03-01T12:00:00Z").isoformat()
    '2026-03-01T12:00:00+00:00'
    >>> moment("2h", datetime(2026, 3, 1, 12, tzinfo=UTC)).isoformat()
    '2026-03-01T10:00:00+00:00'

    Raises :class:`BuswayError` for anything else.
    """
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return _ago(text, now or datetime.now(UTC))
    return found if found.tzinfo else found.astimezone()


def _ago(text: str, now: datetime) -> datetime:
    try:
        return now - timedelta(seconds=duration.seconds(text))
    except (SettingsError, OverflowError) as error:
        raise BuswayError(
            f"{text!r} is no time; write it like 2026-03-01T12:00:00Z, or like 2h for 2 hours ago"
        ) from error
