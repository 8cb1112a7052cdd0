"""The values of a field in an event, each with the array elements that contain it.

A name may contain dots: ``a.b`` finds ``{"a": {"b": 1}}`` and ``{"a.b": 1}``. Arrays are
transparent: ``a.b`` finds both values of ``{"a": [{"b": 1}, {"b": 2}]}``, each with its element. An
object, an empty array and a missing name have no value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

# An array is identified by its path; an element is an array and an index.
Array = tuple[str | int, ...]
Element = tuple[Array, int]
Elements = frozenset[Element]

NO_ELEMENTS: Final[Elements] = frozenset()

# Names of the other event format, for an event that lacks them.
_FOR_CLOUDEVENT: Final = {"detail-type": "type", "detail": "data"}
_FOR_EVENTBRIDGE: Final = {"type": "detail-type", "data": "detail"}


@dataclass(frozen=True, slots=True)
class FieldValue:
    """A scalar of an event and the array elements that contain it."""

    value: object
    elements: Elements


def translated_names(event: Mapping[str, object]) -> dict[str, str]:
    """Return the names of the event for those top-level names of a pattern that differ.

    In a CloudEvent (``specversion``) without ``detail-type`` or ``detail``, these mean ``type`` or
    ``data``; in an EventBridge event (``detail-type``, no ``specversion``) vice versa.
    """
    if "specversion" in event:
        names = _FOR_CLOUDEVENT
    elif "detail-type" in event:
        names = _FOR_EVENTBRIDGE
    else:
        return {}
    return {name: other for name, other in names.items() if name not in event}


def with_first_name(path: str, names: Mapping[str, str]) -> str:
    """Return a path with its first name translated."""
    first, dot, rest = path.partition(".")
    return names.get(first, first) + dot + rest


def field_values(event: Mapping[str, object], path: str) -> list[FieldValue]:
    """Return all values of the field ``path`` in ``event``, in the event's order."""
    values = []
    pending = [_Visit(event, path, (), NO_ELEMENTS)]
    while pending:
        visit = pending.pop()
        if isinstance(visit.node, dict):
            pending += reversed(_members(visit, visit.node))
        elif isinstance(visit.node, list):
            pending += reversed(_items(visit, visit.node))
        elif visit.rest is None:
            values.append(FieldValue(visit.node, visit.elements))
    return values


@dataclass(frozen=True, slots=True)
class _Visit:
    """A node, the path to it, the elements around it, and the rest of the path (None: none)."""

    node: object
    rest: str | None
    path_taken: tuple[str | int, ...]
    elements: Elements


def _members(visit: _Visit, node: dict[str, object]) -> list[_Visit]:
    if visit.rest is None:
        return []
    visits = []
    for head, rest in _splits(visit.rest):
        if head in node:
            visits.append(_Visit(node[head], rest, (*visit.path_taken, head), visit.elements))
    return visits


def _splits(path: str) -> list[tuple[str, str | None]]:
    splits: list[tuple[str, str | None]] = [(path, None)]
    dot = path.find(".")
    while dot >= 0:
        splits.append((path[:dot], path[dot + 1 :]))
        dot = path.find(".", dot + 1)
    return splits


def _items(visit: _Visit, node: list[object]) -> list[_Visit]:
    return [
        _Visit(item, visit.rest, (*visit.path_taken, number), _around_item(visit, item, number))
        for number, item in enumerate(node)
    ]


def _around_item(visit: _Visit, item: object, number: int) -> Elements:
    if isinstance(item, dict | list):
        return visit.elements | {(visit.path_taken, number)}
    return visit.elements
