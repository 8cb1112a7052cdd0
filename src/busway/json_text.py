"""Values as JSON: exactly, or not at all."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec

_encode = msgspec.json.Encoder(decimal_format="number").encode


_with_text_keys = msgspec.json.Encoder(order="deterministic").encode
"""Fails where a key is no text, which it could not order."""


class DuplicateKeys(ValueError):
    """Two keys of a dict are the same in JSON, so that one of the values would be lost."""


def check_keys(value: object) -> None:
    """Raise :class:`DuplicateKeys` where a dict in a value has two keys which are the same in JSON.

    All keys are texts nearly always, which is known at the price of writing it once.
    """
    try:
        _with_text_keys(value)
    except (TypeError, ValueError):
        _check_tree(value)


def _check_tree(value: object) -> None:
    if isinstance(value, dict):
        _check_dict(value)
        value = list(value.values())
    if isinstance(value, list | tuple):
        for one in value:
            _check_tree(one)


def _check_dict(value: Mapping[object, object]) -> None:
    seen: dict[object, object] = {}
    for key in value:
        text = key if isinstance(key, str) else _json_key(key)
        if text in seen:
            raise DuplicateKeys(f"the keys {seen[text]!r} and {key!r} are the same in JSON")
        seen[text] = key


def _json_key(key: object) -> object:
    try:
        (text,) = msgspec.json.decode(_encode({key: None}))
    except (TypeError, ValueError):
        return key  # which fails by itself
    return text


def encode_json(value: object) -> bytes:
    """Return a value as JSON.

    Raises ``TypeError`` or ``ValueError`` where JSON cannot say it, for a number that is none (NaN
    would become ``null`` without a word), and where two keys of a dict become one.
    """
    try:
        if type(value) is dict:
            _check_top_level(value)
        text = _encode(value)
    except RecursionError as error:
        raise ValueError("it contains itself, or goes too deep") from error
    if (b"null" in text or b"NaN" in text or b"Infinity" in text) and _has_non_finite(value):
        raise ValueError("JSON has no NaN and no infinity; return None or a text instead")
    return text


def _check_top_level(value: dict[Any, Any]) -> None:
    """Check the keys of a dict itself: those of the rest are, when a step's results are taken."""
    try:
        "".join(value)
    except TypeError:
        _check_dict(value)


def _has_non_finite(value: Any) -> bool:
    """Say whether a NaN or an infinity is anywhere in a value."""
    kind = type(value)
    if kind is float:
        return not math.isfinite(value)
    if kind is dict:
        return any(map(_has_non_finite, value.values()))
    if kind is list or kind is tuple:
        return any(map(_has_non_finite, value))
    return kind is Decimal and not value.is_finite()
