"""Paths into a decoded body: singular queries of JSONPath (RFC 9535) like ``$.a.b[0]``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec

from busway.errors import SourceError

_STEP = re.compile(
    r"""\.(?P<name>[^\s.\[\]'"*]+)
      | \[(?P<index>-?\d{1,9})\]
      | \[(?P<quote>['"])(?P<quoted>(?:(?!(?P=quote)).)+)(?P=quote)\]""",
    re.VERBOSE,
)
_SHOWN_NAMES, _SHOWN_CHARACTERS = 5, 40


class FieldPath(msgspec.Struct, frozen=True):
    """A parsed path: a name selects a member of an object, a number an element of an array."""

    text: str
    steps: tuple[str | int, ...]

    def find(self, body: object) -> object:
        """Return the value. Raises :class:`LookupError` with the value in its place."""
        value, path = body, "$"
        for step in self.steps:
            value = _child(value, step, path)
            path += f"[{step}]" if isinstance(step, int) else f".{step}"
        return value


def parse_path(text: str) -> FieldPath:
    """Return the parsed path. Raises :class:`SourceError` if it is invalid.

    >>> parse_path("$.order.lines[0]['unit price']").steps
    ('order', 'lines', 0, 'unit price')
    """
    steps: list[str | int] = []
    position = 1
    while position < len(text):
        step = _STEP.match(text, position)
        if step is None:
            raise SourceError(
                f"{text!r} is not a path at {text[position : position + 20]!r}; give names and"
                " indexes, like $.order.lines[0].id or $['unit price']"
            )
        index = step["index"]
        steps.append(step["name"] or step["quoted"] if index is None else int(index))
        position = step.end()
    return FieldPath(text, tuple(steps))


def kind_of(value: object) -> str:
    """Return the kind of a decoded value for an error message."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, Mapping):
        return "an object"
    return "an array" if isinstance(value, list) else "a string or a number"


def _child(value: object, step: str | int, path: str) -> object:
    if isinstance(step, str) and isinstance(value, Mapping):
        if step in value:
            return value[step]
        raise LookupError(f"the object at {path} has {_names(list(value))}")
    if isinstance(step, int) and isinstance(value, list):
        if -len(value) <= step < len(value):
            return value[step]
        raise LookupError(f"the array at {path} has {len(value)} elements")
    raise LookupError(f"there is {kind_of(value)} at {path}")


def _names(names: Sequence[str]) -> str:
    shown = [ascii(name[:_SHOWN_CHARACTERS]) for name in names[:_SHOWN_NAMES]]
    if len(names) > _SHOWN_NAMES:
        shown.append(f"and {len(names) - _SHOWN_NAMES} more")
    return ", ".join(shown) or "no members"
