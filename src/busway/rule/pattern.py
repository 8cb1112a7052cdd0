"""The event pattern: selects the events of a flow."""

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
    """An Amazon EventBridge event pattern, validated when it is parsed; immutable.

    Two patterns are equal if their JSON is, including the order of names. The language is that of
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
        """Parse a pattern from a dict or JSON text.

        Raises ``PatternError`` with the location and the reason if it is invalid.
        """
        return cls(_decoded(pattern) if isinstance(pattern, str | bytes) else pattern)

    @property
    def source(self) -> dict[str, Any]:
        """The original pattern, as a new dict."""
        source: dict[str, Any] = msgspec.json.decode(self._text)
        return source

    def matches(self, event: Mapping[str, object]) -> bool:
        """Return whether a decoded event matches. Raises ``EventError`` if it is not an object."""
        return any(_matches(branch) for branch in self.leaf_values(event))

    def explain(self, event: Mapping[str, object]) -> Mismatch | None:
        """Return why a decoded event does not match, None if it does.

        >>> pattern = Pattern.parse({"type": ["order.created"]})
        >>> print(pattern.explain({"type": "order.paid"}))
        $.type wants ["order.created"], but the event has "order.paid".
        """
        return find_mismatch(list(self.leaf_values(event)), self._text.decode())

    def leaf_values(self, event: Mapping[str, object]) -> Iterator[Sequence[LeafValues]]:
        """Yield, for each branch, its leaves with their values in the event."""
        if not isinstance(event, dict):
            raise EventError(f"invalid event of type {type(event).__name__}: use a JSON object")
        names = translated_names(event)
        values = _Values(event)
        for branch in self.branches:
            paths = [with_first_name(leaf.path, names) for leaf in branch]
            yield [
                LeafValues(leaf, path, values[path])
                for leaf, path in zip(branch, paths, strict=True)
            ]

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a pattern is immutable; cannot set {name}")

    def __reduce__(self) -> tuple[object, ...]:
        return Pattern.parse, (self._text,)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pattern) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __repr__(self) -> str:
        return f"Pattern.parse({self._text.decode()!r})"


class _Values(dict[str, list[FieldValue]]):
    """The values of the fields of one event, searched once per field."""

    def __init__(self, event: Mapping[str, object]) -> None:
        super().__init__()
        self._event = event

    def __missing__(self, path: str) -> list[FieldValue]:
        found = self[path] = field_values(self._event, path)
        return found


def _matches(branch: Sequence[LeafValues]) -> bool:
    if any(item.elements for leaf_values in branch for item in leaf_values.values):
        return first_conflict(branch) is None
    return all(is_satisfied(leaf_values) for leaf_values in branch)


def _encoded(source: Mapping[str, object]) -> bytes:
    try:
        return msgspec.json.encode(source)
    except ValueError as error:
        raise PatternError("$", f"cannot write it as JSON: {error}") from None


def _decoded(text: str | bytes) -> dict[str, object]:
    try:
        pattern = msgspec.json.decode(text)
    except (ValueError, RecursionError) as error:
        raise PatternError("$", f"not JSON: {error}") from None
    if not isinstance(pattern, dict):
        raise PatternError("$", "not a JSON object; use an object of names and lists")
    return pattern
