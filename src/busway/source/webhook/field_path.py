"""Paths of names and indexes into a decoded body: RFC 9535's singular queries, ``$.a.b[0]``."""

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
    """A path, parsed; a name leads into an object, a number into an array."""

    text: str
    steps: tuple[str | int, ...]

    def find(self, body: object) -> object:
        """Return what is there. Raises :class:`LookupError` that says what is there instead."""
        value, place = body, "$"
        for step in self.steps:
            value = _entered(value, step, place)
            place += f"[{step}]" if isinstance(step, int) else f".{step}"
        return value


def parse_path(text: str) -> FieldPath:
    """Return the path of a text. Raises :class:`SourceError` for one that is not such a path.

    >>> parse_path("$.order.lines[0]['unit price']").steps
    ('order', 'lines', 0, 'unit price')
    """
    steps: list[str | int] = []
    at = 1
    while at < len(text):
        found = _STEP.match(text, at)
        if found is None:
            raise SourceError(
                f"{text!r} is not a path at {text[at : at + 20]!r}; give names and indexes, like"
                " $.order.lines[0].id or $['unit price']"
            )
        index = found["index"]
        steps.append(found["name"] or found["quoted"] if index is None else int(index))
        at = found.end()
    return FieldPath(text, tuple(steps))


def kind_of(value: object) -> str:
    """Return what a decoded value is, for people."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, Mapping):
        return "an object"
    return "an array" if isinstance(value, list) else "a text or a number"


def _entered(value: object, step: str | int, place: str) -> object:
    if isinstance(step, str) and isinstance(value, Mapping):
        if step in value:
            return value[step]
        raise LookupError(f"the object at {place} has {_names(list(value))}")
    if isinstance(step, int) and isinstance(value, list):
        if -len(value) <= step < len(value):
            return value[step]
        raise LookupError(f"the array at {place} has {len(value)} elements")
    raise LookupError(f"there is {kind_of(value)} at {place}")


def _names(names: Sequence[str]) -> str:
    shown = [ascii(name[:_SHOWN_CHARACTERS]) for name in names[:_SHOWN_NAMES]]
    if len(names) > _SHOWN_NAMES:
        shown.append(f"and {len(names) - _SHOWN_NAMES} more")
    return ", ".join(shown) or "no members"
