"""Durations as text: ``"500ms"``, ``"5s"``, ``"10m"``, ``"1h30m"``, ``"7d"``."""

from __future__ import annotations

import re
from datetime import timedelta

from busway.errors import SettingsError

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


def parse_seconds(value: object) -> float:
    """Return the seconds of a duration: a text, a ``timedelta`` or a number of seconds.

    Raises :class:`SettingsError` for an invalid or negative duration.

    >>> parse_seconds("1h30m"), parse_seconds("250ms"), parse_seconds(5)
    (5400.0, 0.25, 5.0)
    """
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value)
    else:
        seconds = _parsed(value)
    if not 0 <= seconds < float("inf"):
        raise SettingsError(f"invalid duration {value!r}: use a finite duration >= 0")
    return seconds


def _parsed(text: object) -> float:
    compact = text.replace(" ", "") if isinstance(text, str) else ""
    parts = _PART.findall(compact)
    if not parts or "".join(number + unit for number, unit in parts) != compact:
        raise SettingsError(f"invalid duration {text!r}: use a value like '500ms', '5s' or '1h30m'")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)
