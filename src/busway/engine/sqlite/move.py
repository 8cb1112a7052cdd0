"""A data directory as the origin of a move: its records, and the marker that it was moved."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Self, cast

import apsw
import msgspec

from busway.clock import SystemClock
from busway.engine.sqlite import directory
from busway.engine.sqlite.database import Row, connect_read_only, fetch, sql
from busway.engine.sqlite.ledger import SqliteLedger
from busway.engine.sqlite.log import SqliteLog
from busway.engine.sqlite.quota import Quota
from busway.engine.sqlite.row_codec import ROW_CODEC
from busway.errors import NotFound, StoreCorrupted, StoreError, StoreMoved
from busway.named_value import NamedValue
from busway.ports import Log
from busway.ports.move import (
    Bookmark,
    ExportPage,
    LedgerRecord,
    MovedMarker,
    RecordKind,
    next_bookmark,
)

MOVED_FILE = "moved.json"
_MAX_ROWS = 10_000
_RECORD_DECODERS: Mapping[
    RecordKind, tuple[Callable[[Row], LedgerRecord], Callable[[Row], Row]]
] = {
    "lanes": (ROW_CODEC.decode_lane, lambda row: row[:2]),
    "failed_events": (ROW_CODEC.decode_failed_event, lambda row: row[:3]),
    "settled_ranges": (ROW_CODEC.decode_settled_range, lambda row: row[:3]),
    "resolved_events": (
        lambda row: ROW_CODEC.decode_resolved_event(row[1:]),
        lambda row: row[:1],
    ),
    "audit_records": (ROW_CODEC.decode_audit, lambda row: row[-1:]),
    "values": (lambda row: NamedValue(*row), lambda row: row[:1]),
}
"""How to convert a row to a record, and to the key of a row."""


def read_moved(path: Path) -> MovedMarker | None:
    """Return where a directory was moved to, ``None`` if it was not."""
    try:
        return msgspec.json.decode((path / MOVED_FILE).read_bytes(), type=MovedMarker)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise StoreCorrupted(f"{path / MOVED_FILE} cannot be read: {error}") from error


def refuse_moved(path: Path) -> None:
    """Raise :class:`StoreMoved` for a directory that was moved elsewhere."""
    moved = read_moved(path)
    if moved is not None:
        raise StoreMoved(
            f"{path} was moved to {moved.destination} at {moved.moved_at:%F %T %Z}; run that,"
            " with --engine. If both run, events are delivered twice, and destinations that keep"
            " positions leave out new ones. To use this directory anyway, if that one never ran,"
            f" remove {path / MOVED_FILE}"
        )


class SqliteMoveOrigin:
    """A data directory that this process has for itself; its data is not changed."""

    def __init__(self, path: Path, identity: str, resources: contextlib.ExitStack) -> None:
        self._path = path
        quota = Quota(path / directory.LOG_FILE, SystemClock())
        self._log = SqliteLog(path / directory.LOG_FILE, identity, quota)
        self._ledger = SqliteExportLedger(path / directory.LEDGER_FILE)
        self._resources = resources.pop_all()

    @classmethod
    async def open(cls, path: Path) -> Self:
        """Open an existing directory.

        Raises :class:`StoreLocked` if a process has it open, :class:`NotFound` if it does not
        exist, and :class:`StoreError` if it cannot be read.
        """
        if not any(
            (path / name).exists() for name in (directory.LOG_FILE, directory.LOG_FILE + ".new")
        ):
            raise NotFound(f"there is no data directory at {path}; give the one to move as --from")
        descriptor = await asyncio.to_thread(directory.lock, path)
        with contextlib.ExitStack() as resources:
            resources.callback(os.close, descriptor)
            return cls(path, await asyncio.to_thread(_identify, path), resources)

    @property
    def name(self) -> str:
        return f"{self._path.resolve()} on {socket.gethostname()}"

    @property
    def log(self) -> Log:
        return self._log

    @property
    def ledger(self) -> SqliteExportLedger:
        return self._ledger

    @property
    def moved_to(self) -> MovedMarker | None:
        return read_moved(self._path)

    async def mark_moved(self, moved: MovedMarker) -> None:
        await asyncio.to_thread(_write_moved, self._path, moved)

    async def close(self) -> None:
        with self._resources:
            await self._log.close()
            await self._ledger.close()


class SqliteExportLedger(SqliteLedger):
    """The ledger of a directory that is moved."""

    async def export(self, after: Bookmark, max_bytes: int) -> ExportPage:
        return await asyncio.to_thread(self._export, after, max_bytes)

    async def sizes(self) -> Mapping[RecordKind, int]:
        def count_records() -> list[Row]:
            with self._read_connection() as connection:
                return fetch(connection, "move/record_counts")

        return cast("dict[RecordKind, int]", dict(await asyncio.to_thread(count_records)))

    def _export(self, after: Bookmark, max_bytes: int) -> ExportPage:
        decode, key = _RECORD_DECODERS[after.kind]
        records: list[LedgerRecord] = []
        last: Row = ()
        with self._read_connection() as connection:
            cursor = connection.execute(sql(f"move/{after.kind}"), after.after)
            with contextlib.closing(cursor):
                for row in cursor:
                    records.append(decode(row))
                    last = key(row)
                    max_bytes -= sum(len(column) for column in row if isinstance(column, bytes))
                    if max_bytes < 0 or len(records) == _MAX_ROWS:
                        break
        following = Bookmark(after.kind, last) if last else next_bookmark(after.kind)
        return ExportPage(after.kind, records, following)

    @contextlib.contextmanager
    def _read_connection(self) -> Iterator[apsw.Connection]:
        with (
            self._translating_errors(),
            contextlib.closing(connect_read_only(self._path)) as connection,
        ):
            yield connection


def _identify(path: Path) -> str:
    directory.create_files(path, 0)
    return directory.identify(path)


def _write_moved(path: Path, moved: MovedMarker) -> None:
    new = path / f"{MOVED_FILE}.new"
    try:
        with new.open("wb") as file:
            file.write(msgspec.json.encode(moved))
            file.flush()
            os.fsync(file.fileno())
        new.rename(path / MOVED_FILE)
        directory.fsync_directory(path)
    except OSError as error:
        raise StoreError(f"{new} cannot be written: {error}; check the disk") from error
