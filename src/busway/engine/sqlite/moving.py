"""A data directory that is moved elsewhere: all of its records, and the mark that it was moved."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self, cast

import apsw
import msgspec

from busway.clock import SystemClock
from busway.engine.sqlite import directory
from busway.engine.sqlite.database import Row, connect_reading, rows, sql
from busway.engine.sqlite.ledger import SqliteLedger
from busway.engine.sqlite.log import SqliteLog
from busway.engine.sqlite.room import Room
from busway.engine.sqlite.row import ROWS
from busway.errors import NotFound, StoreDamaged, StoreError, StoreMoved
from busway.ports import Log
from busway.ports.moving import Bookmark, Kind, Moved, Portion, Record, Value, beyond

MARK = "moved.json"
_MOST_ROWS = 10_000
_MADE: Mapping[Kind, tuple[Callable[[Row], Record], Callable[[Row], Row]]] = {
    "lanes": (ROWS.lane, lambda found: found[:2]),
    "troubles": (ROWS.trouble, lambda found: found[:3]),
    "settled": (ROWS.settled, lambda found: found[:3]),
    "resolved": (lambda found: ROWS.resolved(found[1:]), lambda found: found[:1]),
    "audits": (ROWS.audit, lambda found: found[-1:]),
    "values": (lambda found: Value(*found), lambda found: found[:1]),
}
"""How a record is made of a row, and what its key is."""


def moved_of(path: Path) -> Moved | None:
    """Return where a directory was moved to, ``None`` when it was not."""
    try:
        return msgspec.json.decode((path / MARK).read_bytes(), type=Moved)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise StoreDamaged(f"{path / MARK} cannot be read: {error}") from error


def refuse_moved(path: Path) -> None:
    """Raise :class:`StoreMoved` for a directory that was moved elsewhere."""
    moved = moved_of(path)
    if moved is not None:
        raise StoreMoved(
            f"{path} was moved to {moved.to} at {moved.at:%F %T %Z}; run that, with --engine. If"
            " both run, events are delivered twice, and destinations that keep positions leave out"
            " new ones. To use this directory all the same, where that one never ran, remove"
            f" {path / MARK}"
        )


class SqliteOrigin:
    """A data directory that this process has for itself; nothing in it is changed.

    The ledger of a former format is read from a copy that is taken to the present one.
    """

    def __init__(self, path: Path, ledger: Path, held: contextlib.ExitStack) -> None:
        self._path = path
        identity = directory.identify(path)
        room = Room(path / directory.LOG, (0, 0), SystemClock())
        self._log = SqliteLog(path / directory.LOG, identity, room)
        self._ledger = ExportingLedger(ledger)
        self._held = held.pop_all()

    @classmethod
    async def open(cls, path: Path) -> Self:
        """Open a directory that is there.

        Raises :class:`StoreLocked` when a process has it open, :class:`NotFound` when it is none,
        and :class:`StoreError` when it cannot be read.
        """
        if not any((path / name).exists() for name in (directory.LOG, directory.LOG + ".new")):
            raise NotFound(f"there is no data directory at {path}; give the one to move as --from")
        descriptor = await asyncio.to_thread(directory.lock, path)
        with contextlib.ExitStack() as held:
            held.callback(os.close, descriptor)
            return cls(path, await asyncio.to_thread(_ledger_of, path, held), held)

    @property
    def name(self) -> str:
        return f"{self._path.resolve()} on {socket.gethostname()}"

    @property
    def log(self) -> Log:
        return self._log

    @property
    def ledger(self) -> ExportingLedger:
        return self._ledger

    @property
    def moved(self) -> Moved | None:
        return moved_of(self._path)

    async def mark(self, moved: Moved) -> None:
        await asyncio.to_thread(_mark, self._path, moved)

    async def close(self) -> None:
        with self._held:
            await self._log.close()
            await self._ledger.close()


class ExportingLedger(SqliteLedger):
    """The ledger of a directory that is moved."""

    async def export(self, after: Bookmark, max_bytes: int) -> Portion:
        return await asyncio.to_thread(self._export, after, max_bytes)

    async def sizes(self) -> Mapping[Kind, int]:
        def counted() -> list[Row]:
            with self._reading() as connection:
                return rows(connection, "moving/sizes")

        return cast("dict[Kind, int]", dict(await asyncio.to_thread(counted)))

    def _export(self, after: Bookmark, max_bytes: int) -> Portion:
        made, key = _MADE[after.kind]
        records: list[Record] = []
        last: Row = ()
        with self._reading() as connection:
            found = connection.execute(sql(f"moving/{after.kind}"), after.after)
            with contextlib.closing(found):
                for one in found:
                    records.append(made(one))
                    last = key(one)
                    max_bytes -= sum(len(part) for part in one if isinstance(part, bytes))
                    if max_bytes < 0 or len(records) == _MOST_ROWS:
                        break
        following = Bookmark(after.kind, last) if last else beyond(after.kind)
        return Portion(after.kind, records, following)

    @contextlib.contextmanager
    def _reading(self) -> Iterator[apsw.Connection]:
        with self._told(), contextlib.closing(connect_reading(self._path)) as connection:
            yield connection


def _ledger_of(path: Path, held: contextlib.ExitStack) -> Path:
    """Return where the ledger can be read in the present format, for as long as that is held."""
    directory.prepare(path, 0)
    directory.identify(path)
    if not directory.is_former(path):
        return path / directory.LEDGER
    copied = Path(held.enter_context(TemporaryDirectory(prefix="busway-move-")))
    directory.copy_ledger(path, copied)
    directory.upgrade(copied)
    return copied / directory.LEDGER


def _mark(path: Path, moved: Moved) -> None:
    new = path / f"{MARK}.new"
    try:
        with new.open("wb") as file:
            file.write(msgspec.json.encode(moved))
            file.flush()
            os.fsync(file.fileno())
        new.rename(path / MARK)
        directory.sync(path)
    except OSError as error:
        raise StoreError(f"{new} cannot be written: {error}; look at the disk") from error
