"""Rows sorted into statements, none of which touches a key twice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from uuid import UUID

from busway.sink.row import Row, Run

KeyOf = Callable[[Row], object]


def layers(rows: Iterable[Row], key: Sequence[str]) -> list[Run]:
    """Return rows as runs to be written in order, so that the last row of each key wins.

    In a run no two rows have one key. Rows of different keys, and all rows where there is no key,
    may change places.
    """
    rows = list(rows)
    if not key:
        return _by_shape(rows)
    key_of = _key_of(rows, key)
    unique = dict(zip(map(key_of, rows), rows, strict=True))
    if len(unique) == len(rows):
        return _by_shape(rows)
    if len(set(map(tuple, rows))) == 1:
        return _by_shape(list(unique.values()))
    return _layered(rows, key_of)


def _key_of(rows: Sequence[Row], key: Sequence[str]) -> KeyOf:
    """Return what tells keys apart that a table may tell apart: ``True`` is not ``1``, nor ``1.0``.

    Where that finds keys to differ which the table finds equal, the table says so.
    """
    found: KeyOf = itemgetter(*key)
    kinds = (set(map(type, map(itemgetter(name), rows))) for name in key)
    if all(len(types) == 1 and types <= _ALIKE for types in kinds):
        return found
    return lambda row: repr([(type(row[name]).__name__, row[name]) for name in key])


_ALIKE = frozenset({int, str, bytes, UUID})
"""Types whose values are equal to Python only if they are written alike."""


def _by_shape(rows: Sequence[Row]) -> list[Run]:
    shapes: dict[tuple[str, ...], list[Row]] = {columns: [] for columns in set(map(tuple, rows))}
    if len(shapes) == 1:
        return [Run(columns, rows) for columns in shapes]
    for row in rows:
        shapes[tuple(row)].append(row)
    return [Run(columns, group) for columns, group in shapes.items()]


def _layered(rows: Sequence[Row], key_of: KeyOf) -> list[Run]:
    """A row goes one layer above that of its key before it, or in its place: same columns."""
    latest: dict[object, tuple[int, tuple[str, ...]]] = {}
    found: dict[tuple[int, tuple[str, ...]], dict[object, Row]] = {}
    for row in rows:
        key, shape = key_of(row), tuple(row)
        layer, shape_before = latest.get(key, (-1, ()))
        if shape != shape_before:
            layer += 1
        latest[key] = layer, shape
        found.setdefault((layer, shape), {})[key] = row
    return [Run(shape, list(found[layer, shape].values())) for layer, shape in sorted(found)]
