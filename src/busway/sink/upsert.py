"""Grouping of rows into statements, none of which touches a key twice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from uuid import UUID

from busway.sink.row import Row, RowRun

KeyOf = Callable[[Row], object]


def upsert_runs(rows: Iterable[Row], key: Sequence[str]) -> list[RowRun]:
    """Return runs of rows to write in order, so that the last row of each key wins.

    No two rows of a run have the same key. Rows of different keys may be reordered, as may all
    rows if there is no key.
    """
    rows = list(rows)
    if not key:
        return _runs_by_columns(rows)
    key_of = _key_of(rows, key)
    unique = dict(zip(map(key_of, rows), rows, strict=True))
    if len(unique) == len(rows):
        return _runs_by_columns(rows)
    if len(set(map(tuple, rows))) == 1:
        return _runs_by_columns(list(unique.values()))
    return _layered_runs(rows, key_of)


def _key_of(rows: Sequence[Row], key: Sequence[str]) -> KeyOf:
    """Return a function that tells keys apart: ``True``, ``1`` and ``1.0`` differ.

    If the table considers two such keys equal, it reports an error.
    """
    get_key: KeyOf = itemgetter(*key)
    column_types = (set(map(type, map(itemgetter(name), rows))) for name in key)
    if all(len(types) == 1 and types <= _UNAMBIGUOUS_TYPES for types in column_types):
        return get_key
    return lambda row: repr([(type(row[name]).__name__, row[name]) for name in key])


_UNAMBIGUOUS_TYPES = frozenset({int, str, bytes, UUID})
"""Types whose values are equal in Python only if their texts are equal."""


def _runs_by_columns(rows: Sequence[Row]) -> list[RowRun]:
    shapes: dict[tuple[str, ...], list[Row]] = {columns: [] for columns in set(map(tuple, rows))}
    if len(shapes) == 1:
        return [RowRun(columns, rows) for columns in shapes]
    for row in rows:
        shapes[tuple(row)].append(row)
    return [RowRun(columns, group) for columns, group in shapes.items()]


def _layered_runs(rows: Sequence[Row], key_of: KeyOf) -> list[RowRun]:
    """Put a row one layer above the previous row of its key, or replace that if columns match."""
    latest: dict[object, tuple[int, tuple[str, ...]]] = {}
    layers: dict[tuple[int, tuple[str, ...]], dict[object, Row]] = {}
    for row in rows:
        key, shape = key_of(row), tuple(row)
        layer, shape_before = latest.get(key, (-1, ()))
        if shape != shape_before:
            layer += 1
        latest[key] = layer, shape
        layers.setdefault((layer, shape), {})[key] = row
    return [RowRun(shape, list(layers[layer, shape].values())) for layer, shape in sorted(layers)]
