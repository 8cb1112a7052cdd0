"""Positions of lanes in a PostgreSQL database."""

from __future__ import annotations

from collections.abc import Sequence

from asyncpg import Connection, Record

from busway.ports import DeliveredRange, Load, SinkLane
from busway.sink.position import DecidedRange, LanePosition, PositionChange
from busway.sink.statement import quote_identifier, statement


async def create_tables(connection: Connection[Record], schema: str) -> None:
    """Create the tables of positions if they do not exist; call it inside a transaction."""
    tables = [
        f"{quote_identifier(schema)}.busway_position",
        f"{quote_identifier(schema)}.busway_exception",
    ]
    if not await connection.fetchval(statement("postgres", "positions_exist"), *tables):
        await connection.execute(statement("postgres", "lock"), f"busway {schema}")
        await connection.execute(_sql("position_table", schema))
        await connection.execute(_sql("position_add_fencing_token", schema))
        await connection.execute(_sql("exception_table", schema))


async def lock_lane_position(
    connection: Connection[Record], schema: str, load: Load
) -> LanePosition:
    """Lock the position of the load's lane until the transaction ends, and return it.

    If another transaction held the lock, the exceptions are older than its changes and are read
    again; the count of writes shows this.
    """
    name, bounds = _statement_of(load)
    while True:
        row = await connection.fetchrow(_sql(name, schema), *load.lane, *bounds)
        if row is None:
            await connection.execute(_sql("position_first", schema), *load.lane)
        elif row["writes"] == row["seen"]:
            decided = DecidedRange(row["start"], row["position"])
            return LanePosition(decided, frozenset(row["exceptions"]), row["fencing_token"])


async def delivered_range(
    connection: Connection[Record],
    schema: str,
    lane: SinkLane,
    offsets: Sequence[int],
) -> DeliveredRange:
    """Return the delivered range of a lane, with those of the offsets that are delivered.

    Locks nothing.
    """
    await create_tables(connection, schema)
    row = await connection.fetchrow(_sql("delivered_range", schema), *lane, offsets)
    if row is None:
        return DeliveredRange()
    lane_position = LanePosition(
        DecidedRange(row["start"], row["position"]), frozenset(row["exceptions"])
    )
    return lane_position.delivered_range(offsets)


async def save(
    connection: Connection[Record], schema: str, load: Load, change: PositionChange
) -> None:
    """Write the change of a load; call it inside the transaction of the load."""
    if change.deletes:
        sql = _sql("exception_delete", schema)
        await connection.execute(sql, *load.lane, change.deletes)
    if change.inserts:
        sql = _sql("exception_insert", schema)
        await connection.execute(sql, *load.lane, change.inserts)
    values = (*load.lane, change.decided.start, change.decided.end, load.fencing_token)
    await connection.execute(_sql("position_put", schema), *values)


def _statement_of(load: Load) -> tuple[str, tuple[object, ...]]:
    if load.start is None or load.end is None:
        return "position_for_offsets", ([item.offset for item in load.items],)
    return "position_for_range", (load.start, load.end)


def _sql(name: str, schema: str) -> str:
    return statement("postgres", name).format(schema=quote_identifier(schema))
