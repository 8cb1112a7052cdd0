"""Positions of lanes, kept in a SQLite database."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import apsw

from busway.ports import DeliveredRange, Load, SinkLane
from busway.sink.position import (
    DecidedRange,
    LanePosition,
    PositionChange,
    exceptions_range,
)
from busway.sink.statement import statement


def create_tables(connection: apsw.Connection) -> None:
    """Make the tables of positions when there are none."""
    connection.execute(_sql("position_table"))
    connection.execute(_sql("exception_table"))
    if not connection.execute(_sql("position_has_fencing_token")).get:
        connection.execute(_sql("position_add_fencing_token"))


def read_lane_position(connection: apsw.Connection, load: Load) -> LanePosition:
    """Return the place of the load's lane; called inside the transaction that lands it."""
    position, epoch = _decided_range(connection, load.lane)
    exceptions = _exceptions(connection, load, exceptions_range(position, load))
    return LanePosition(position, frozenset(exceptions), epoch)


def delivered_range(
    connection: apsw.Connection, lane: SinkLane, offsets: Sequence[int]
) -> DeliveredRange:
    """Return what is known of a lane and of some of its offsets."""
    create_tables(connection)
    exceptions = frozenset(_exceptions_among(connection, lane, offsets))
    return LanePosition(_decided_range(connection, lane)[0], exceptions).delivered_range(offsets)


def save(connection: apsw.Connection, load: Load, change: PositionChange) -> None:
    """Write what a load changed; called inside the transaction that lands it."""
    connection.executemany(_sql("exception_delete"), [(*load.lane, o) for o in change.deletes])
    connection.executemany(_sql("exception_insert"), [(*load.lane, o) for o in change.inserts])
    place = change.decided
    given = (*load.lane, place.start, place.end, load.fencing_token)
    connection.execute(_sql("position_put"), given)


def _exceptions(
    connection: apsw.Connection, load: Load, offset_range: tuple[int, int] | None
) -> list[int]:
    if offset_range:
        rows = connection.execute(_sql("exception_range"), (*load.lane, *offset_range))
        return [offset for (offset,) in rows]
    return _exceptions_among(connection, load.lane, [item.offset for item in load.items])


def _exceptions_among(
    connection: apsw.Connection, lane: SinkLane, offsets: Iterable[int]
) -> list[int]:
    rows = connection.executemany(_sql("exception_get"), [(*lane, offset) for offset in offsets])
    return [offset for (offset,) in rows]


def _decided_range(connection: apsw.Connection, lane: SinkLane) -> tuple[DecidedRange, int]:
    row = connection.execute(_sql("position_get"), lane).fetchone()
    return (DecidedRange(*row[:2]), row[2]) if row else (DecidedRange(), 0)


def _sql(name: str) -> str:
    return statement("sqlite", name)
