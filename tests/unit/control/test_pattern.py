"""A pattern that a caller asks for has a limit of size."""

from __future__ import annotations

import json

import pytest

from busway.control.pattern import MAX_BYTES, parse_pattern
from busway.errors import PatternError


def test_a_pattern_of_a_caller_has_a_limit_of_size() -> None:
    assert parse_pattern({"type": ["a"]}) == parse_pattern('{"type":["a"]}')
    many = {"type": [f"type {n}" for n in range(MAX_BYTES)]}
    for pattern in (many, json.dumps(many)):
        with pytest.raises(PatternError, match="at most"):
            parse_pattern(pattern)
