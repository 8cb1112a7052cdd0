"""Values as JSON: exactly, or not at all."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import msgspec

_encode = msgspec.json.Encoder(decimal_format="number").encode


def encode_json(value: object) -> bytes:
    """Return a value as JSON.

    Raises ``TypeError`` or ``ValueError`` where JSON cannot say it, and for a number that is none:
    NaN would become ``null`` without a word.
    """
    try:
        text = _encode(value)
    except RecursionError as error:
        raise ValueError("it contains itself, or goes too deep") from error
    if (b"null" in text or b"NaN" in text or b"Infinity" in text) and _is_endless(value):
        raise ValueError("JSON has no NaN and no infinity; return None or a text instead")
    return text


def _is_endless(value: Any) -> bool:
    """Say whether a NaN or an infinity is anywhere in a value."""
    kind = type(value)
    if kind is float:
        return not math.isfinite(value)
    if kind is dict:
        return any(map(_is_endless, value.values()))
    if kind is list or kind is tuple:
        return any(map(_is_endless, value))
    return kind is Decimal and not value.is_finite()
