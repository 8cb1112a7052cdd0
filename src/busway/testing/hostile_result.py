"""Results that a step can return and hardly any destination takes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from busway.event import Event


def _endless() -> object:
    endless: list[object] = []
    endless.append(endless)
    return {"value": endless}


def _deep() -> object:
    deep: object = 1
    for _ in range(5_000):
        deep = [deep]
    return {"value": deep}


class _RaisesWhenShown:
    def __repr__(self) -> str:
        raise ValueError("it cannot be shown")


HOSTILE_RESULTS: Mapping[str, Callable[[], object]] = {
    "object": object,
    "list": lambda: [1, "two", None],
    "text": lambda: "text",
    "number": lambda: 5,
    "bytes": lambda: b"\xff\x00",
    "empty dict": dict,
    "dict with an empty name": lambda: {"": 1},
    "dict with None as a name": lambda: {None: 1},
    "dict with a NUL in a name": lambda: {"a\0b": 1},
    "dict with half a character in a name": lambda: {"\ud800": 1},
    "half a character": lambda: {"value": "\ud800"},
    "NUL": lambda: {"value": "a\0b"},
    "control characters": lambda: {"value": "\r\n.\r\n\x1b[2J"},
    "NaN": lambda: {"value": math.nan},
    "infinity": lambda: {"value": -math.inf},
    "integer of 400 digits": lambda: {"value": 10**400},
    "integer of 5000 digits": lambda: {"value": 10**5000},
    "raw bytes": lambda: {"value": b"\x00\xff"},
    "set": lambda: {"value": {1, 2}},
    "endless list": _endless,
    "deeply nested list": _deep,
    "object that cannot be shown": _RaisesWhenShown,
    "dict of one that cannot be shown": lambda: {"value": _RaisesWhenShown()},
    "event without data": lambda: Event(type="order.priced", source="/shop", id="x"),
    "event with binary data": lambda: Event(
        type="order.priced", source="/shop", id="x", data=b"\xff", datacontenttype="image/png"
    ),
}
"""What makes each of them, by what it is called."""
