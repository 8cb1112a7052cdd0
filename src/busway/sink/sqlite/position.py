"""Positions of lanes in a SQLite database."""

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
    """Create the tables of positions if they do not exist."""
    connection.execute(_sql("position_table"))
    connection.execute(_sql("exception_table"))
    if not connection.execute(_sql("position_has_fencing_token")).get:
        connection.execute(_sql("position_add_fencing_token"))


def read_lane_position(connection: apsw.Connection, load: Load) -> LanePosition:
    """Return the position of the load's lane; call it inside the transaction of the load."""
    decided, fencing_token = _decided_range(connection, load.lane)
    exceptions = _exceptions(connection, load, exceptions_range(decided, load))
    return LanePosition(decided, frozenset(exceptions), fencing_token)


def delivered_range(
    connection: apsw.Connection, lane: SinkLane, offsets: Sequence[int]
) -> DeliveredRange:
    """Return the delivered range of a lane, with those of the offsets that are delivered."""
    create_tables(connection)
    exceptions = frozenset(_exceptions_among(connection, lane, offsets))
    return LanePosition(_decided_range(connection, lane)[0], exceptions).delivered_range(offsets)


def save(connection: apsw.Connection, load: Load, change: PositionChange) -> None:
    """Write the change of a load; call it inside the transaction of the load."""
    connection.executemany(_sql("exception_delete"), [(*load.lane, o) for o in change.deletes])
    connection.executemany(_sql("exception_insert"), [(*load.lane, o) for o in change.inserts])
    decided = change.decided
    values = (*load.lane, decided.start, decided.end, load.fencing_token)
    connection.execute(_sql("position_put"), values)


def _exceptions(
    connection: apsw.Connection, load: Load, offset_range: DecidedRange | None
) -> list[int]:
    if offset_range is not None:
        bounds = (*load.lane, offset_range.start, offset_range.end)
        rows = connection.execute(_sql("exception_range"), bounds)
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
