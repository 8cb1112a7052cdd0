"""Positions of lanes, kept in a PostgreSQL database."""

from __future__ import annotations

from collections.abc import Sequence

from asyncpg import Connection, Record

from busway.ports import Load, Standing
from busway.sink.position import Change, Place, Position
from busway.sink.statement import quoted, statement


async def prepare(connection: Connection[Record], schema: str) -> None:
    """Make the tables of positions when there are none; called inside a transaction."""
    tables = [f"{quoted(schema)}.busway_position", f"{quoted(schema)}.busway_exception"]
    if not await connection.fetchval(statement("postgres", "positions_exist"), *tables):
        await connection.execute(statement("postgres", "lock"), f"busway {schema}")
        await connection.execute(_sql("position_table", schema))
        await connection.execute(_sql("position_add_epoch", schema))
        await connection.execute(_sql("exception_table", schema))


async def read(connection: Connection[Record], schema: str, load: Load) -> Place:
    """Lock the place of the load's lane until the transaction ends, and return it.

    Where another transaction had it locked, the exceptions are from before that one and are read
    again: the count of its writes tells.
    """
    name, bounds = _query(load)
    while True:
        row = await connection.fetchrow(_sql(name, schema), *load.lane, *bounds)
        if row is None:
            await connection.execute(_sql("position_first", schema), *load.lane)
        elif row["writes"] == row["seen"]:
            position = Position(row["start"], row["position"])
            return Place(position, frozenset(row["exceptions"]), row["epoch"])


async def standing(
    connection: Connection[Record],
    schema: str,
    lane: tuple[str, str, int],
    offsets: Sequence[int],
) -> Standing:
    """Return what is known of a lane and of some of its offsets; locks nothing."""
    await prepare(connection, schema)
    row = await connection.fetchrow(_sql("standing", schema), *lane, offsets)
    if row is None:
        return Standing()
    place = Place(Position(row["start"], row["position"]), frozenset(row["exceptions"]))
    return place.standing(offsets)


async def store(connection: Connection[Record], schema: str, load: Load, change: Change) -> None:
    """Write what a load changed; called inside the transaction that lands it."""
    if change.deletes:
        sql = _sql("exception_delete", schema)
        await connection.execute(sql, *load.lane, change.deletes)
    if change.inserts:
        sql = _sql("exception_insert", schema)
        await connection.execute(sql, *load.lane, change.inserts)
    given = (*load.lane, change.position.start, change.position.position, load.epoch)
    await connection.execute(_sql("position_put", schema), *given)


def _query(load: Load) -> tuple[str, tuple[object, ...]]:
    if load.start is None or load.end is None:
        return "place_retry", ([item.offset for item in load.items],)
    return "place_fresh", (load.start, load.end)


def _sql(name: str, schema: str) -> str:
    return statement("postgres", name).format(schema=quoted(schema))
