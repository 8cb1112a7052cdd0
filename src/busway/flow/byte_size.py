"""Sizes as text: ``"500MB"``, ``"5 GB"``, ``"1.5GiB"``, or a number of bytes."""

from __future__ import annotations

import re

from busway.errors import SettingsError

_UNITS = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_UNITS |= {"kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]+)\s*")


def parse_byte_size(value: object) -> float:
    """Return the bytes of a size.

    Raises :class:`SettingsError` for an invalid size.

    >>> parse_byte_size("5 GB"), parse_byte_size("1KiB"), parse_byte_size(7)
    (5000000000.0, 1024.0, 7.0)
    """
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf"):
        return float(value)
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if match is None or match[2].lower() not in _UNITS:
        raise SettingsError(f"invalid size {value!r}: use a value like '500MB', '5GB' or 1000000")
    return float(match[1]) * _UNITS[match[2].lower()]
