"""Positions of lanes, kept in a SQLite database."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import apsw

from busway.ports import Load, Standing
from busway.sink.position import Change, Place, Position, span
from busway.sink.statement import statement


def prepare(connection: apsw.Connection) -> None:
    """Make the tables of positions when there are none."""
    connection.execute(_sql("position_table"))
    connection.execute(_sql("exception_table"))
    if not connection.execute(_sql("position_epoch")).get:
        connection.execute(_sql("position_add_epoch"))


def read(connection: apsw.Connection, load: Load) -> Place:
    """Return the place of the load's lane; called inside the transaction that lands it."""
    position, epoch = _position(connection, load.lane)
    exceptions = _exceptions(connection, load, span(position, load))
    return Place(position, frozenset(exceptions), epoch)


def standing(
    connection: apsw.Connection, lane: tuple[str, str, int], offsets: Sequence[int]
) -> Standing:
    """Return what is known of a lane and of some of its offsets."""
    prepare(connection)
    exceptions = frozenset(_exceptional(connection, lane, offsets))
    return Place(_position(connection, lane)[0], exceptions).standing(offsets)


def store(connection: apsw.Connection, load: Load, change: Change) -> None:
    """Write what a load changed; called inside the transaction that lands it."""
    connection.executemany(_sql("exception_delete"), [(*load.lane, o) for o in change.deletes])
    connection.executemany(_sql("exception_insert"), [(*load.lane, o) for o in change.inserts])
    place = change.position
    given = (*load.lane, place.start, place.position, load.epoch)
    connection.execute(_sql("position_put"), given)


def _exceptions(
    connection: apsw.Connection, load: Load, among: tuple[int, int] | None
) -> list[int]:
    if among:
        rows = connection.execute(_sql("exception_range"), (*load.lane, *among))
        return [offset for (offset,) in rows]
    return _exceptional(connection, load.lane, [item.offset for item in load.items])


def _exceptional(
    connection: apsw.Connection, lane: tuple[str, str, int], offsets: Iterable[int]
) -> list[int]:
    rows = connection.executemany(_sql("exception_get"), [(*lane, offset) for offset in offsets])
    return [offset for (offset,) in rows]


def _position(connection: apsw.Connection, lane: tuple[str, str, int]) -> tuple[Position, int]:
    row = connection.execute(_sql("position_get"), lane).fetchone()
    return (Position(*row[:2]), row[2]) if row else (Position(), 0)


def _sql(name: str) -> str:
    return statement("sqlite", name)
