"""The values of a field in an event, with the array elements that each of them lies in.

A name may itself have dots: ``a.b`` finds ``{"a": {"b": 1}}`` and ``{"a.b": 1}``. Arrays are
transparent, ``a.b`` finds both values of ``{"a": [{"b": 1}, {"b": 2}]}``, and each is remembered to
lie in its element. An object, an empty array and a missing name have no value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

# An array is named by the way to it; an element is one of its items by number.
Array = tuple[str | int, ...]
Element = tuple[Array, int]
Elements = frozenset[Element]

NO_ELEMENTS: Final[Elements] = frozenset()

# Names of the other form of event, for an event that lacks them.
_FOR_CLOUDEVENT: Final = {"detail-type": "type", "detail": "data"}
_FOR_EVENTBRIDGE: Final = {"type": "detail-type", "data": "detail"}


@dataclass(frozen=True, slots=True)
class FieldValue:
    """One scalar of an event and the array elements around it."""

    value: object
    elements: Elements


def translated_names(event: Mapping[str, object]) -> dict[str, str]:
    """What the top-level names of a pattern are called in this event, where that differs.

    A CloudEvent (``specversion``) without ``detail-type`` or ``detail`` is asked for ``type`` or
    ``data``; an EventBridge event (``detail-type``, no ``specversion``) the other way round.
    """
    if "specversion" in event:
        names = _FOR_CLOUDEVENT
    elif "detail-type" in event:
        names = _FOR_EVENTBRIDGE
    else:
        return {}
    return {name: other for name, other in names.items() if name not in event}


def with_first_name(path: str, names: Mapping[str, str]) -> str:
    """``rest`` with its first name replaced."""
    first, dot, rest = path.partition(".")
    return names.get(first, first) + dot + rest


def field_values(event: Mapping[str, object], path: str) -> list[FieldValue]:
    """Every value of the field ``rest`` in ``event``, in the event's order."""
    found = []
    todo = [_Visit(event, path, (), NO_ELEMENTS)]
    while todo:
        visit = todo.pop()
        if isinstance(visit.node, dict):
            todo += reversed(_members(visit, visit.node))
        elif isinstance(visit.node, list):
            todo += reversed(_items(visit, visit.node))
        elif visit.rest is None:
            found.append(FieldValue(visit.node, visit.elements))
    return found


@dataclass(frozen=True, slots=True)
class _Visit:
    """A node, the way to it, the elements around it, and the rest of the path (None: no more)."""

    node: object
    rest: str | None
    path_taken: tuple[str | int, ...]
    elements: Elements


def _members(visit: _Visit, node: dict[str, object]) -> list[_Visit]:
    if visit.rest is None:
        return []
    found = []
    for head, rest in _splits(visit.rest):
        if head in node:
            found.append(_Visit(node[head], rest, (*visit.path_taken, head), visit.elements))
    return found


def _splits(path: str) -> list[tuple[str, str | None]]:
    found: list[tuple[str, str | None]] = [(path, None)]
    dot = path.find(".")
    while dot >= 0:
        found.append((path[:dot], path[dot + 1 :]))
        dot = path.find(".", dot + 1)
    return found


def _items(visit: _Visit, node: list[object]) -> list[_Visit]:
    return [
        _Visit(item, visit.rest, (*visit.path_taken, number), _around_item(visit, item, number))
        for number, item in enumerate(node)
    ]


def _around_item(visit: _Visit, item: object, number: int) -> Elements:
    if isinstance(item, dict | list):
        return visit.elements | {(visit.path_taken, number)}
    return visit.elements
