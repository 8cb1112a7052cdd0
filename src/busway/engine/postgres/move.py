"""Move an installation into a database: its log batch by batch, its records with COPY."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self, cast

import asyncpg
import msgspec

from busway import batch_codec as codec
from busway.audit_record import AuditRecord
from busway.driver.postgres.address import PostgresAddress
from busway.driver.postgres.connector import Connector
from busway.engine.postgres import named_value
from busway.engine.postgres.database import (
    Connection,
    Database,
    Row,
    fetch,
    sql,
)
from busway.engine.postgres.durability import check_durability
from busway.engine.postgres.error import read_only_error
from busway.engine.postgres.ledger import PostgresLedger
from busway.engine.postgres.log import PostgresLog
from busway.engine.postgres.row_codec import ROW_CODEC
from busway.engine.postgres.schema import SCHEMA, read_meta
from busway.engine.postgres.store import open_ledger
from busway.errors import Conflict, StoreMisconfigured
from busway.lane import Lane
from busway.named_value import NamedValue, ValueChange
from busway.ports import LogBatch, StoreOptions
from busway.ports.move import (
    LOG_IDENTITY_KEY,
    MOVE_KEY,
    Bookmark,
    ExportPage,
    LedgerRecord,
    Move,
    RecordKind,
    TargetState,
    next_bookmark,
)
from busway.settlement import SettledRange

_MAX_ROWS = 10_000
_PREFETCH_ROWS = 100
_COUNT_COLUMNS = ("delivered", "filtered", "parked", "dead", "discarded")
_BATCH_COLUMNS = ("partition", "offset", "count", "size", "appended_at", "body")


class _RecordTable(msgspec.Struct, frozen=True):
    """The table of a kind of record, its columns, and how to convert its rows."""

    table: str
    columns: Sequence[str]
    decode: Callable[[Row], LedgerRecord]
    encode: Callable[[Any], Row]
    key: Callable[[Row], Row]


def _encode_lane(lane: Lane) -> Row:
    position = (lane.flow, lane.partition, lane.start, lane.cursor)
    return (*position, *lane.counts.values(), lane.worker, lane.fencing_token)


def _encode_settled_range(settled_range: SettledRange) -> Row:
    position = (settled_range.flow, settled_range.partition, settled_range.start, settled_range.end)
    return (
        *position,
        settled_range.version,
        settled_range.first_at,
        settled_range.last_at,
        *settled_range.counts.values(),
    )


def _encode_audit(audit: AuditRecord) -> Row:
    return (*ROW_CODEC.encode_audit(audit), audit.seq)


_RECORD_TABLES: Mapping[RecordKind, _RecordTable] = {
    "lanes": _RecordTable(
        "lane",
        ("flow", "partition", "start", "cursor", *_COUNT_COLUMNS, "worker", "fencing_token"),
        ROW_CODEC.decode_lane,
        _encode_lane,
        lambda row: row[:2],
    ),
    "failed_events": _RecordTable(
        "failed_event",
        tuple(
            "flow partition offset event_id state since attempts due key failures event event_key"
            " error fingerprint attempt_started_at".split()
        ),
        ROW_CODEC.decode_failed_event,
        ROW_CODEC.encode_failed_event,
        lambda row: row[:3],
    ),
    "settled_ranges": _RecordTable(
        "settled_range",
        ("flow", "partition", "start", "end", "version", "first_at", "last_at", *_COUNT_COLUMNS),
        ROW_CODEC.decode_settled_range,
        _encode_settled_range,
        lambda row: row[:3],
    ),
    "resolved_events": _RecordTable(
        "resolved_event",
        tuple(
            "flow partition offset event_id outcome at attempts failures event_key version actor"
            " reason".split()
        ),
        lambda row: ROW_CODEC.decode_resolved_event(row[1:]),
        ROW_CODEC.encode_resolved_event,
        lambda row: row[:1],
    ),
    "audit_records": _RecordTable(
        "audit",
        ("at", "actor", "action", "target", "before", "after", "reason", "seq"),
        ROW_CODEC.decode_audit,
        _encode_audit,
        lambda row: row[-1:],
    ),
    "values": _RecordTable(
        "named_value",
        ("name", "value"),
        lambda row: NamedValue(row[0], bytes(row[1])),
        lambda value: (value.name, value.value),
        lambda row: row[:1],
    ),
}


class PostgresImportLedger(PostgresLedger):
    """A ledger that imports the records of another one, and exports its own."""

    @classmethod
    def sharing(cls, ledger: PostgresLedger) -> Self:
        """Use the database of a ledger, which whoever opened it closes."""
        return cls(ledger._database)

    @property
    def database(self) -> Database:
        return self._database

    async def export(self, after: Bookmark, max_bytes: int) -> ExportPage:
        table = _RECORD_TABLES[after.kind]
        records: list[LedgerRecord] = []
        last: Row = ()
        async with self._database.transaction() as connection:
            query = sql(f"move/{after.kind}")
            async for record in connection.cursor(query, *after.after, prefetch=_PREFETCH_ROWS):
                row = tuple(record)
                records.append(table.decode(row))
                last = table.key(row)
                max_bytes -= sum(len(column) for column in row if isinstance(column, bytes))
                if max_bytes < 0 or len(records) == _MAX_ROWS:
                    break
        following = Bookmark(after.kind, last) if last else next_bookmark(after.kind)
        return ExportPage(after.kind, records, following)

    async def sizes(self) -> Mapping[RecordKind, int]:
        return cast("dict[RecordKind, int]", dict(await self._database.fetch("move/record_counts")))

    async def import_page(self, page: ExportPage, expected: Move, move: Move) -> bool:
        async with self._database.transaction() as connection:
            if not await named_value.apply_changes(connection, [_move_change(expected, move)]):
                return False
            await _copy_records(connection, page)
            return True

    async def clear(self, expected: Move, move: Move) -> bool:
        async with self._database.transaction() as connection:
            if not await named_value.apply_changes(connection, [_move_change(expected, move)]):
                return False
            await connection.execute(sql("move/delete_records"))
            await fetch(connection, "move/delete_values", [MOVE_KEY, LOG_IDENTITY_KEY])
            return True


async def _copy_records(connection: Connection, page: ExportPage) -> None:
    if not page.records:
        return
    table = _RECORD_TABLES[page.kind]
    rows = [table.encode(record) for record in page.records]
    try:
        await connection.copy_records_to_table(table.table, records=rows, columns=table.columns)
    except asyncpg.CharacterNotInRepertoireError as error:
        wrong = next((row for row in rows if any("\0" in text for text in _texts(row))), rows[0])
        raise Conflict(
            f"PostgreSQL cannot store a NUL character, and one of the {page.kind} has one:"
            f" {wrong[:4]!r}; resolve it in the directory first"
        ) from error
    if page.kind == "audit_records":
        await fetch(connection, "move/restart_audit_sequence")


def _texts(row: Row) -> list[str]:
    return [column for column in row if isinstance(column, str)]


def _move_change(expected: Move, move: Move) -> ValueChange:
    return ValueChange(MOVE_KEY, msgspec.json.encode(move), expected=msgspec.json.encode(expected))


_ADDRESS_REMEDIES = {
    True: "with its log; give it as --to, without --ledger",
    False: "whose log is in NATS; give that as --to, and this as --ledger",
}
"""Which addresses to give, by whether the log was expected elsewhere and is here, or reversed."""


async def target_state(url: str, *, log_elsewhere: bool = False) -> TargetState:
    """Return whether an installation can be moved into a database; creates nothing.

    ``log_elsewhere`` is for a ledger whose log is not in that database. Raises
    :class:`StoreMisconfigured` if the database cannot be used as it is configured,
    :class:`StoreError` if it cannot be used now.
    """
    await check_durability(Connector(PostgresAddress.parse(url)))
    database = await Database.open(url, SCHEMA)
    try:
        state = await _target_state(database, log_elsewhere=log_elsewhere)
        if not state.conflict and (state.move is None or state.move.finished_at is None):
            await _check_writable(database)
        return state
    finally:
        await database.close()


async def _check_writable(database: Database) -> None:
    if (await database.fetch("move/is_read_only"))[0][0]:
        raise read_only_error(database.label)
    if rows := await database.fetch("move/missing_grants", SCHEMA):
        grants = "; ".join(grant for (grant,) in rows)
        raise StoreMisconfigured(
            f"{database.label}: the user lacks privileges; let an owner grant them: {grants}"
        )


async def _target_state(database: Database, *, log_elsewhere: bool) -> TargetState:
    async with database.connection() as connection:
        if not await read_meta(connection, SCHEMA, database.label):
            return TargetState()
    ledger = PostgresLedger(database)
    values = await ledger.get_values(MOVE_KEY)
    if MOVE_KEY in values:
        if (LOG_IDENTITY_KEY in await ledger.get_values(LOG_IDENTITY_KEY)) != log_elsewhere:
            return TargetState(
                conflict=f"{database.label} holds a move {_ADDRESS_REMEDIES[log_elsewhere]}"
            )
        return TargetState(msgspec.json.decode(values[MOVE_KEY], type=Move))
    ((is_used,),) = await database.fetch("move/is_used")
    reason = f"{database.label} is used already; give a database in which Busway never ran"
    return TargetState(conflict=reason) if is_used else TargetState()


async def begin_ledger(
    options: StoreOptions, move: Move, *, log_elsewhere: bool = False
) -> tuple[PostgresLedger, str]:
    """Open the ledger at ``options.ledger`` for a move into it; create it if there is none.

    Returns it with its label. Raises :class:`Conflict` if it holds anything else.
    """
    ledger, label = await open_ledger(options)
    try:
        await _begin_move(ledger, label, move, log_elsewhere=log_elsewhere)
    except BaseException:
        await ledger.close()
        raise
    return ledger, label


async def _begin_move(
    ledger: PostgresLedger, label: str, move: Move, *, log_elsewhere: bool
) -> None:
    database = PostgresImportLedger.sharing(ledger).database
    state = await _target_state(database, log_elsewhere=log_elsewhere)
    if state.conflict:
        raise Conflict(state.conflict)
    if state.move is None:
        changes = [ValueChange(MOVE_KEY, msgspec.json.encode(move), expected=None)]
        if log_elsewhere:
            changes.append(ValueChange(LOG_IDENTITY_KEY, move.identity.encode()))
        await ledger.change_values(changes)
        state = await _target_state(database, log_elsewhere=log_elsewhere)
    if state.move is None or state.move.id != move.id:
        raise Conflict(f"another move into {label} has begun just now")


class PostgresMoveReceiver:
    """A database that receives an installation, log and ledger."""

    def __init__(self, database: Database, log: PostgresLog, owning_ledger: PostgresLedger) -> None:
        self._database = database
        self.log = log
        self._owning_ledger = owning_ledger
        self.ledger = PostgresImportLedger(database)

    @classmethod
    async def begin(cls, options: StoreOptions, move: Move, bases: Sequence[int]) -> Self:
        """Begin or continue the move into the database at ``options.ledger``."""
        owner, _ = await begin_ledger(options, move)
        try:
            database = PostgresImportLedger.sharing(owner).database
            await _adopt_identity(database, move.identity, bases)
            log = await PostgresLog.open(database, move.identity)
        except BaseException:
            await owner.close()
            raise
        return cls(database, log, owner)

    async def append(self, batches: Sequence[LogBatch]) -> None:
        first, last = batches[0], batches[-1]
        rows = [_encode_batch(batch) for batch in batches]
        async with self._database.transaction() as connection:
            ((end,),) = await fetch(connection, "move/lock_partition_end", first.partition)
            if end != first.offset:
                raise Conflict(
                    f"{self._database.label}, partition {first.partition}: it ends at {end}, not at"
                    f" {first.offset}: another process appends to it; stop that process"
                )
            await connection.copy_records_to_table("batch", records=rows, columns=_BATCH_COLUMNS)
            size = sum(codec.size_bytes(batch.events) for batch in batches)
            await fetch(connection, "move/extend_partition", first.partition, last.end, size)

    async def finish(self) -> None:
        """Do nothing: the ledger in the same database records that the move is unfinished."""

    async def close(self) -> None:
        try:
            await self.log.close()
        finally:
            await self._owning_ledger.close()


async def _adopt_identity(database: Database, identity: str, bases: Sequence[int]) -> None:
    """Give the log its identity and partitions; each begins at its base, or continues behind it."""
    async with database.transaction() as connection:
        meta: dict[str, str] = dict(await fetch(connection, "get_meta"))
        if meta["identity"] != identity:
            ((has_events,),) = await fetch(connection, "move/has_events")
            if has_events:
                raise Conflict(
                    f"{database.label}: another process appends to it; stop that process"
                )
            await fetch(connection, "put_meta", "identity", identity)
            await fetch(connection, "move/delete_partitions")
            await fetch(connection, "log/add_partitions", len(bases))
        for partition, base in await fetch(connection, "move/partitions_behind", list(bases)):
            await fetch(connection, "move/delete_batches", partition)
            await fetch(connection, "move/reset_partition", partition, base)


def _encode_batch(batch: LogBatch) -> Row:
    position = (batch.partition, batch.offset, len(batch.events), codec.size_bytes(batch.events))
    return (*position, batch.appended_at, codec.encode_compressed(batch.events))
