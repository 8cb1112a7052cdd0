"""Take an installation into a database: its log batch by batch, its records by copying."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self, cast

import asyncpg
import msgspec

from busway import batch as codec
from busway.engine.postgres import keeping
from busway.engine.postgres.address import Address
from busway.engine.postgres.check import check
from busway.engine.postgres.database import Connection, Database, Row, fetch, read_only, sql
from busway.engine.postgres.ledger import PostgresLedger
from busway.engine.postgres.log import PostgresLog
from busway.engine.postgres.row import ROWS
from busway.engine.postgres.schema import SCHEMA
from busway.engine.postgres.store import open_ledger
from busway.engine.postgres.way import Way
from busway.errors import Conflict, StoreUnfit
from busway.lane import Audit, Change, Lane, Settled
from busway.ports import Batch
from busway.ports.moving import (
    BELONGS_TO,
    MOVE,
    Bookmark,
    Kind,
    Move,
    Portion,
    Record,
    Standing,
    Value,
    beyond,
)
from busway.settings import Settings

_MOST_ROWS = 10_000
_AT_ONCE = 100
_COUNTS = ("delivered", "filtered", "parked", "dead", "discarded")
_BATCH = ("partition", "offset", "count", "size", "appended_at", "body")


class _Shape(msgspec.Struct, frozen=True):
    """How a kind of record is kept: its table, its columns, and how a row becomes one and back."""

    table: str
    columns: Sequence[str]
    made: Callable[[Row], Record]
    row: Callable[[Any], Row]
    key: Callable[[Row], Row]


def _lane_row(one: Lane) -> Row:
    place = (one.flow, one.partition, one.start, one.cursor)
    return (*place, *one.counts.values(), one.worker, one.epoch)


def _settled_row(one: Settled) -> Row:
    place = (one.flow, one.partition, one.start, one.end)
    return (*place, one.version, one.first_at, one.last_at, *one.counts.values())


def _audit_row(one: Audit) -> Row:
    return (*ROWS.audit_row(one), one.seq)


_SHAPES: Mapping[Kind, _Shape] = {
    "lanes": _Shape(
        "lane",
        ("flow", "partition", "start", "cursor", *_COUNTS, "worker", "epoch"),
        ROWS.lane,
        _lane_row,
        lambda found: found[:2],
    ),
    "troubles": _Shape(
        "trouble",
        tuple(
            "flow partition offset event_id state since attempts due key failures event event_key"
            " error fingerprint begun_at".split()
        ),
        ROWS.trouble,
        ROWS.trouble_row,
        lambda found: found[:3],
    ),
    "settled": _Shape(
        "settled",
        ("flow", "partition", "start", "end", "version", "first_at", "last_at", *_COUNTS),
        ROWS.settled,
        _settled_row,
        lambda found: found[:3],
    ),
    "resolved": _Shape(
        "resolved",
        tuple(
            "flow partition offset event_id became at attempts failures event_key version who"
            " reason".split()
        ),
        lambda found: ROWS.resolved(found[1:]),
        ROWS.resolved_row,
        lambda found: found[:1],
    ),
    "audits": _Shape(
        "audit",
        ("at", "who", "action", "target", "before", "after", "reason", "seq"),
        ROWS.audit,
        _audit_row,
        lambda found: found[-1:],
    ),
    "values": _Shape(
        "kept",
        ("name", "value"),
        lambda found: Value(found[0], bytes(found[1])),
        lambda one: (one.name, one.value),
        lambda found: found[:1],
    ),
}


class ImportingLedger(PostgresLedger):
    """A ledger that takes what another one kept, and hands out what it has."""

    @classmethod
    def over(cls, ledger: PostgresLedger) -> Self:
        """Use the database of a ledger; that one is to be closed by whoever opened it."""
        return cls(ledger._database)

    @property
    def database(self) -> Database:
        return self._database

    async def export(self, after: Bookmark, max_bytes: int) -> Portion:
        shape = _SHAPES[after.kind]
        records: list[Record] = []
        last: Row = ()
        async with self._database.transaction() as connection:
            query = sql(f"moving/{after.kind}")
            async for found in connection.cursor(query, *after.after, prefetch=_AT_ONCE):
                one = tuple(found)
                records.append(shape.made(one))
                last = shape.key(one)
                max_bytes -= sum(len(part) for part in one if isinstance(part, bytes))
                if max_bytes < 0 or len(records) == _MOST_ROWS:
                    break
        following = Bookmark(after.kind, last) if last else beyond(after.kind)
        return Portion(after.kind, records, following)

    async def sizes(self) -> Mapping[Kind, int]:
        return cast("dict[Kind, int]", dict(await self._database.rows("moving/sizes")))

    async def take(self, portion: Portion, expected: Move, move: Move) -> bool:
        async with self._database.transaction() as connection:
            if not await keeping.change(connection, [_change(expected, move)]):
                return False
            await _add(connection, portion)
            return True

    async def empty(self, expected: Move, move: Move) -> bool:
        async with self._database.transaction() as connection:
            if not await keeping.change(connection, [_change(expected, move)]):
                return False
            await connection.execute(sql("moving/forget_all"))
            await fetch(connection, "moving/forget_values", [MOVE, BELONGS_TO])
            return True


async def _add(connection: Connection, portion: Portion) -> None:
    if not portion.records:
        return
    shape = _SHAPES[portion.kind]
    rows = [shape.row(one) for one in portion.records]
    try:
        await connection.copy_records_to_table(shape.table, records=rows, columns=shape.columns)
    except asyncpg.CharacterNotInRepertoireError as error:
        wrong = next((one for one in rows if any("\0" in part for part in _texts(one))), rows[0])
        raise Conflict(
            f"PostgreSQL cannot keep a NUL character, and one of the {portion.kind} has one:"
            f" {wrong[:4]!r}; resolve it in the directory first"
        ) from error
    if portion.kind == "audits":
        await fetch(connection, "moving/count_on")


def _texts(one: Row) -> list[str]:
    return [part for part in one if isinstance(part, str)]


def _change(expected: Move, move: Move) -> Change:
    return Change(MOVE, msgspec.json.encode(move), expected=msgspec.json.encode(expected))


_GIVEN = {
    True: "with its log; give it as --to, without --ledger",
    False: "whose log is in NATS; give that as --to, and this as --ledger",
}
"""What is to be given instead where a log is to be elsewhere, or here, and is not."""


async def standing_of(url: str, *, log_elsewhere: bool = False) -> Standing:
    """Look how the database of a ledger stands, for a log there or elsewhere; nothing is made.

    Raises :class:`StoreUnfit` where it cannot be used as it is set up, :class:`StoreError` when it
    cannot be now.
    """
    await check(Way(Address.of(url)))
    database = await Database.open(url, SCHEMA)
    try:
        standing = await _standing(database, log_elsewhere=log_elsewhere)
        if not standing.used and (standing.move is None or standing.move.ended_at is None):
            await _expect_writable(database)
        return standing
    finally:
        await database.close()


async def _expect_writable(database: Database) -> None:
    if (await database.rows("moving/is_read_only"))[0][0]:
        raise read_only(database.place)
    if lacking := await database.rows("moving/lacking", SCHEMA):
        grants = "; ".join(grant for (grant,) in lacking)
        raise StoreUnfit(
            f"{database.place}: the user lacks rights; let an owner give them: {grants}"
        )


async def _standing(database: Database, *, log_elsewhere: bool) -> Standing:
    ((made,),) = await database.rows("moving/is_made")
    if not made:
        return Standing()
    ledger = PostgresLedger(database)
    kept = await ledger.get(MOVE)
    if MOVE in kept:
        if (BELONGS_TO in await ledger.get(BELONGS_TO)) != log_elsewhere:
            return Standing(used=f"{database.place} holds a move {_GIVEN[log_elsewhere]}")
        return Standing(msgspec.json.decode(kept[MOVE], type=Move))
    ((used,),) = await database.rows("moving/is_used")
    reason = f"{database.place} is used already; give a database in which Busway never ran"
    return Standing(used=reason) if used else Standing()


async def begin_ledger(
    settings: Settings, move: Move, *, log_elsewhere: bool = False
) -> tuple[PostgresLedger, str]:
    """Open the ledger that ``settings.ledger`` names, made where there is none, for a move into it.

    Returns it with its place; it is kept when its log is elsewhere. Raises :class:`Conflict`
    where something else is in it.
    """
    ledger, place, *_ = await open_ledger(settings)
    try:
        await _begin(ledger, place, move, log_elsewhere=log_elsewhere)
    except BaseException:
        await ledger.close()
        raise
    return ledger, place


async def _begin(ledger: PostgresLedger, place: str, move: Move, *, log_elsewhere: bool) -> None:
    database = ImportingLedger.over(ledger).database
    standing = await _standing(database, log_elsewhere=log_elsewhere)
    if standing.used:
        raise Conflict(standing.used)
    if standing.move is None:
        begun = [Change(MOVE, msgspec.json.encode(move), expected=None)]
        if log_elsewhere:
            begun.append(Change(BELONGS_TO, move.identity.encode()))
        await ledger.change(begun)
        standing = await _standing(database, log_elsewhere=log_elsewhere)
    if standing.move is None or standing.move.id != move.id:
        raise Conflict(f"another move into {place} has begun just now")


class PostgresReceiving:
    """A database that takes an installation, log and ledger."""

    def __init__(self, database: Database, log: PostgresLog, owner: PostgresLedger) -> None:
        self._database = database
        self.log = log
        self._owner = owner
        self.ledger = ImportingLedger(database)

    @classmethod
    async def begin(cls, settings: Settings, move: Move, bases: Sequence[int]) -> Self:
        """Take the move into the database that ``settings.ledger`` names."""
        owner, _ = await begin_ledger(settings, move)
        try:
            database = ImportingLedger.over(owner).database
            await _adopt(database, move.identity, bases)
            log = await PostgresLog.open(database, move.identity)
        except BaseException:
            await owner.close()
            raise
        return cls(database, log, owner)

    async def append(self, batches: Sequence[Batch]) -> None:
        first, last = batches[0], batches[-1]
        rows = [_batch_row(one) for one in batches]
        async with self._database.transaction() as connection:
            ((end,),) = await fetch(connection, "moving/end", first.partition)
            if end != first.offset:
                raise Conflict(
                    f"{self._database.place}, partition {first.partition}: it ends at {end}, not at"
                    f" {first.offset}: somebody else appends to it; stop that"
                )
            await connection.copy_records_to_table("batch", records=rows, columns=_BATCH)
            grown = (first.partition, last.end, sum(one[3] for one in rows))
            await fetch(connection, "moving/grow", *grown)

    async def open_up(self) -> None:
        """Nothing to do: what keeps it from being used is in the ledger, beside it."""

    async def close(self) -> None:
        try:
            await self.log.close()
        finally:
            await self._owner.close()


async def _adopt(database: Database, identity: str, bases: Sequence[int]) -> None:
    """Give the log an identity and its partitions; what ends before its base begins there anew."""
    async with database.transaction() as connection:
        meta: dict[str, str] = dict(await fetch(connection, "get_meta"))
        if meta["identity"] != identity:
            ((appended,),) = await fetch(connection, "moving/is_appended")
            if appended:
                raise Conflict(f"{database.place}: somebody else appends to it; stop that")
            await fetch(connection, "put_meta", "identity", identity)
            await fetch(connection, "moving/remove_partitions")
            await fetch(connection, "log/add_partitions", len(bases))
        for partition, base in await fetch(connection, "moving/behind", list(bases)):
            await fetch(connection, "moving/forget_batches", partition)
            await fetch(connection, "moving/place_partition", partition, base)


def _batch_row(one: Batch) -> Row:
    place = (one.partition, one.offset, len(one.events), codec.size(one.events))
    return (*place, one.appended_at, codec.pack(one.events))
