"""Parse event patterns from callers, with a limit of their size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from busway.errors import PatternError
from busway.rule import Pattern

MAX_BYTES = 64 * 1024


def parse_pattern(pattern: Mapping[str, Any] | str) -> Pattern:
    """Return the pattern that a caller asks for; :class:`PatternError` also for its size."""
    text = pattern if isinstance(pattern, str) else msgspec.json.encode(pattern)
    if len(text) > MAX_BYTES:
        raise PatternError("$", f"it has {len(text):,} bytes; at most {MAX_BYTES:,} are allowed")
    return Pattern.parse(pattern)
