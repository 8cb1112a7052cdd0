"""Encoding of values as JSON: exact, or an error."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec

_encode = msgspec.json.Encoder(decimal_format="number").encode
_with_text_keys = msgspec.json.Encoder(order="deterministic").encode
"""Fails if a key is not a string, because it cannot sort such keys."""


class DuplicateKeys(ValueError):
    """Two keys of a dict are equal in JSON, so that one of the values would be lost."""


def check_keys(value: object) -> None:
    """Raise :class:`DuplicateKeys` if a dict in a value has two keys that are equal in JSON.

    Nearly always all keys are strings: then the check costs one encoding.
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
        for item in value:
            _check_tree(item)


def _check_dict(value: Mapping[object, object]) -> None:
    keys: dict[object, object] = {}
    for key in value:
        text = key if isinstance(key, str) else _json_key(key)
        if text in keys:
            raise DuplicateKeys(f"the keys {keys[text]!r} and {key!r} are equal in JSON")
        keys[text] = key


def _json_key(key: object) -> object:
    try:
        (text,) = msgspec.json.decode(_encode({key: None}))
    except (TypeError, ValueError):
        return key  # the encoder rejects it later
    return text


def encode_json(value: object) -> bytes:
    """Return a value as JSON.

    Raises ``TypeError`` or ``ValueError`` if JSON cannot represent the value, for NaN and infinity
    (which would silently become ``null``), and if two keys of a dict are equal in JSON.
    """
    try:
        if type(value) is dict:
            _check_top_level(value)
        text = _encode(value)
    except RecursionError as error:
        raise ValueError("it contains itself or is nested too deeply") from error
    if (b"null" in text or b"NaN" in text or b"Infinity" in text) and _has_non_finite(value):
        raise ValueError("JSON has no NaN or infinity; return None or a string instead")
    return text


def _check_top_level(value: dict[Any, Any]) -> None:
    """Check the top-level keys of a dict; nested keys are checked with a step's results."""
    try:
        "".join(value)
    except TypeError:
        _check_dict(value)


def _has_non_finite(value: Any) -> bool:
    """Return whether a value contains NaN or infinity."""
    kind = type(value)
    if kind is float:
        return not math.isfinite(value)
    if kind is dict:
        return any(map(_has_non_finite, value.values()))
    if kind is list or kind is tuple:
        return any(map(_has_non_finite, value))
    return kind is Decimal and not value.is_finite()
