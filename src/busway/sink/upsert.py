"""Rows sorted into statements, none of which touches a key twice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from uuid import UUID

from busway.sink.row import Row, RowRun

KeyOf = Callable[[Row], object]


def upsert_runs(rows: Iterable[Row], key: Sequence[str]) -> list[RowRun]:
    """Return rows as runs to be written in order, so that the last row of each key wins.

    In a run no two rows have one key. Rows of different keys, and all rows where there is no key,
    may change places.
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
    """Return what tells keys apart that a table may tell apart: ``True`` is not ``1``, nor ``1.0``.

    Where that finds keys to differ which the table finds equal, the table says so.
    """
    found: KeyOf = itemgetter(*key)
    kinds = (set(map(type, map(itemgetter(name), rows))) for name in key)
    if all(len(types) == 1 and types <= _UNAMBIGUOUS_TYPES for types in kinds):
        return found
    return lambda row: repr([(type(row[name]).__name__, row[name]) for name in key])


_UNAMBIGUOUS_TYPES = frozenset({int, str, bytes, UUID})
"""Types whose values are equal to Python only if they are written alike."""


def _runs_by_columns(rows: Sequence[Row]) -> list[RowRun]:
    shapes: dict[tuple[str, ...], list[Row]] = {columns: [] for columns in set(map(tuple, rows))}
    if len(shapes) == 1:
        return [RowRun(columns, rows) for columns in shapes]
    for row in rows:
        shapes[tuple(row)].append(row)
    return [RowRun(columns, group) for columns, group in shapes.items()]


def _layered_runs(rows: Sequence[Row], key_of: KeyOf) -> list[RowRun]:
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
    return [RowRun(shape, list(found[layer, shape].values())) for layer, shape in sorted(found)]
