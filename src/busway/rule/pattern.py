"""An event pattern: which events a flow wants."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from busway.errors import EventError, PatternError
from busway.rule.array_consistency import LeafValues, first_conflict, is_satisfied
from busway.rule.branch import Branch, branches
from busway.rule.field import (
    FieldValue,
    field_values,
    translated_names,
    with_first_name,
)
from busway.rule.mismatch import Mismatch, find_mismatch


class Pattern:
    """An Amazon EventBridge event pattern, checked when it is read and the same for ever after.

    Two patterns are equal when their JSON is, in the same order of names. The language is that of
    the EventBridge user guide ("Event patterns", "Comparison operators") and, where that is silent,
    of aws/event-ruler; ``docs/rules.md`` shows it by example.

    >>> pattern = Pattern.parse({"data": {"total": [{"numeric": [">", 100]}]}})
    >>> pattern.matches({"type": "order.created", "data": {"total": 250}})
    True
    """

    __slots__ = ("_text", "branches")

    branches: tuple[Branch, ...]
    _text: bytes

    def __init__(self, source: Mapping[str, object]) -> None:
        object.__setattr__(self, "branches", branches(source))
        object.__setattr__(self, "_text", _encoded(source))

    @classmethod
    def parse(cls, pattern: Mapping[str, object] | str | bytes) -> Pattern:
        """Read a pattern from a dict or from JSON text.

        Raises ``PatternError`` with the place and the reason where it is not valid.
        """
        return cls(_decoded(pattern) if isinstance(pattern, str | bytes) else pattern)

    @property
    def source(self) -> dict[str, Any]:
        """The pattern as it was given, as a fresh dict."""
        found: dict[str, Any] = msgspec.json.decode(self._text)
        return found

    def matches(self, event: Mapping[str, object]) -> bool:
        """Whether a decoded JSON object matches; ``EventError`` where it is not an object."""
        return any(_matches(asked) for asked in self.leaf_values(event))

    def explain(self, event: Mapping[str, object]) -> Mismatch | None:
        """Why a decoded JSON object does not match; None where it does.

        >>> pattern = Pattern.parse({"type": ["order.created"]})
        >>> print(pattern.explain({"type": "order.paid"}))
        $.type wants ["order.created"], but the event has "order.paid".
        """
        return find_mismatch(list(self.leaf_values(event)), self._text.decode())

    def leaf_values(self, event: Mapping[str, object]) -> Iterator[Sequence[LeafValues]]:
        """For each branch, its leaves with what the event holds there."""
        if not isinstance(event, dict):
            raise EventError(
                f"an event is a JSON object, not {type(event).__name__}; wrap it in one"
            )
        names = translated_names(event)
        known = _Values(event)
        for branch in self.branches:
            paths = [with_first_name(leaf.path, names) for leaf in branch]
            yield [
                LeafValues(leaf, path, known[path])
                for leaf, path in zip(branch, paths, strict=True)
            ]

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a pattern does not change; {name} cannot be set")

    def __reduce__(self) -> tuple[object, ...]:
        return Pattern.parse, (self._text,)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pattern) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __repr__(self) -> str:
        return f"Pattern.parse({self._text.decode()!r})"


class _Values(dict[str, list[FieldValue]]):
    """The values of the fields of one event, looked for once each."""

    def __init__(self, event: Mapping[str, object]) -> None:
        super().__init__()
        self._event = event

    def __missing__(self, path: str) -> list[FieldValue]:
        found = self[path] = field_values(self._event, path)
        return found


def _matches(branch: Sequence[LeafValues]) -> bool:
    if any(found.elements for asked in branch for found in asked.values):
        return first_conflict(branch) is None
    return all(is_satisfied(asked) for asked in branch)


def _encoded(source: Mapping[str, object]) -> bytes:
    try:
        return msgspec.json.encode(source)
    except ValueError as error:
        raise PatternError("$", f"cannot be written as JSON: {error}") from None


def _decoded(text: str | bytes) -> dict[str, object]:
    try:
        found = msgspec.json.decode(text)
    except (ValueError, RecursionError) as error:
        raise PatternError("$", f"not JSON: {error}") from None
    if not isinstance(found, dict):
        raise PatternError("$", "a pattern is a JSON object of names and lists of values")
    return found
