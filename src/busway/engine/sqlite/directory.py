"""The data directory: two files that belong together, and one process at a time."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
import uuid
from pathlib import Path

import apsw

from busway.engine.sqlite.database import connect, connect_reading, is_full, sql, translated
from busway.errors import StoreDamaged, StoreLocked, StoreTooNew

FORMAT = 4
LOG = "log.db"
LEDGER = "ledger.db"
_APPLICATION = {LOG: 0x42_57_4C_4F, LEDGER: 0x42_57_4C_45}
_NEW_IN_2 = (
    "ledger/trouble_by_cause",
    "ledger/trouble_by_event_key",
    "ledger/resolved",
    "ledger/resolved_by_event",
    "ledger/resolved_by_time",
    "ledger/audit",
    "ledger/audit_by_target",
)
_NEW_IN_3 = ("ledger/trouble_by_since", "ledger/cause")
_TABLES = {
    LOG: ("log/batch", "log/partition"),
    LEDGER: (
        "ledger/lane",
        "ledger/trouble",
        "ledger/trouble_by_state",
        "ledger/trouble_by_due",
        "ledger/trouble_by_event",
        "ledger/trouble_by_key",
        "ledger/settled",
        "ledger/kept",
        *_NEW_IN_2,
        *_NEW_IN_3,
    ),
}
_UPGRADES = {
    LEDGER: {
        2: (
            "ledger/trouble_add_event_key",
            "ledger/trouble_add_error",
            "ledger/trouble_add_fingerprint",
            "ledger/trouble_add_begun_at",
            "ledger/lane_add_worker",
            "ledger/lane_add_epoch",
            *_NEW_IN_2,
        ),
        3: (
            "ledger/drop_trouble_by_cause",
            "ledger/trouble_by_cause",
            *_NEW_IN_3,
            "ledger/count_causes",
        ),
        4: ("ledger/drop_trouble_by_due", "ledger/trouble_by_due"),
    },
}
"""The statements that take a file to a format from the one before it."""
_PAGE_BYTES = 4096
_ENDING_S = 5.0
"""How long the workers of a process that was killed may take to end after it."""
_RESTORE = "restore the whole data directory from a backup"


def make(directory: Path) -> None:
    """Make the directory, for this user alone, where it is not there."""
    if not directory.is_dir():
        directory.mkdir(mode=0o700, parents=True)
        sync(directory.parent)


def lock(directory: Path) -> int:
    """Take the directory for this process; the lock goes with the returned descriptor.

    What the workers of a dead process still have is waited for: they end by themselves. Raises
    :class:`StoreLocked` that names the process which has it.
    """
    descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    until = time.monotonic() + _ENDING_S
    while not _taken(descriptor):
        holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
        if _is_dead(holder) and time.monotonic() < until:
            # a lock that another process lets go of cannot be waited for with a limit
            time.sleep(0.02)
            continue
        os.close(descriptor)
        whose = "workers of the dead " if _is_dead(holder) else ""
        raise StoreLocked(
            f"{directory} is in use by {whose}process {holder or 'that just started'};"
            " stop it, or choose another directory"
        )
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_dead(holder: str) -> bool:
    if not holder.isdigit():
        return False
    try:
        os.kill(int(holder), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def prepare(directory: Path, partitions: int) -> None:
    """Make the two files in a new directory, or finish that where it was cut off.

    The ledger gets its name first and the log last, so a log is there only when all is there.
    """
    there = {path.name for path in directory.iterdir()}
    if LOG in there or LEDGER in there:
        if LOG not in there and LOG + ".new" in there:
            _rename(directory, LOG)
        return
    if orphans := sorted(there & {LOG + "-wal", LEDGER + "-wal"}):
        raise StoreDamaged(f"{directory} has {orphans[0]} without its database; {_RESTORE}")
    identity = str(uuid.uuid4())
    for name in (LEDGER, LOG):
        _make(directory / f"{name}.new", name, identity, partitions)
    for name in (LEDGER, LOG):
        _rename(directory, name)


def upgrade(directory: Path) -> None:
    """Take both files to this format, each in one transaction; what is newer stays as it is."""
    for name in (LEDGER, LOG):
        path = directory / name
        if not path.exists():
            continue
        try:
            with contextlib.closing(connect(path)) as connection, connection:
                found = connection.pragma("user_version")
                if connection.pragma("application_id") == _APPLICATION[name] and found < FORMAT:
                    _upgrade(connection, name, found)
        except apsw.Error as error:
            if isinstance(error, apsw.IOError) or is_full(error, path):
                raise translated(error, path) from error
            raise StoreDamaged(f"{path}: {error}; {_RESTORE}") from error


def _upgrade(connection: apsw.Connection, name: str, found: int) -> None:
    for version in range(found + 1, FORMAT + 1):
        for statement in _UPGRADES.get(name, {}).get(version, ()):
            connection.execute(sql(statement))
    connection.pragma("user_version", FORMAT)


def is_former(directory: Path) -> bool:
    """Say whether the ledger has a format before this one."""
    with contextlib.closing(connect_reading(directory / LEDGER)) as connection:
        return int(connection.pragma("user_version")) < FORMAT


def copy_ledger(directory: Path, to: Path) -> None:
    """Put a copy of the ledger, with what is in its WAL, into another directory."""
    copy = to / LEDGER
    try:
        with (
            contextlib.closing(connect_reading(directory / LEDGER)) as connection,
            contextlib.closing(connect(copy, page_bytes=_PAGE_BYTES)) as target,
            target.backup("main", connection, "main") as backup,
        ):
            backup.step()
    except apsw.Error as error:
        raise translated(error, copy) from error


def identify(directory: Path) -> str:
    """Return the identity of the log in a directory, after a look at both files.

    Raises :class:`StoreTooNew` for a format from the future, :class:`StoreDamaged` when a file is
    missing, is not what its name says, or belongs to another directory.
    """
    for name in (LOG, LEDGER):
        if not (directory / name).exists():
            raise StoreDamaged(f"{directory / name} is missing; {_RESTORE}")
    log, ledger = (_identity(directory / name) for name in (LOG, LEDGER))
    if log != ledger:
        raise StoreDamaged(f"{LOG} and {LEDGER} in {directory} do not belong together; {_RESTORE}")
    return log


def _identity(path: Path) -> str:
    with contextlib.closing(connect(path)) as connection:
        try:
            application, version = (
                connection.pragma("application_id"),
                connection.pragma("user_version"),
            )
            if application != _APPLICATION[path.name]:
                raise StoreDamaged(f"{path} was not made by Busway; {_RESTORE}")
            if version > FORMAT:
                raise StoreTooNew(
                    f"{path} has format {version} and this Busway knows {FORMAT}; upgrade Busway"
                )
            return str(dict(connection.execute(sql("get_meta")))["identity"])
        except (apsw.Error, KeyError) as error:
            raise StoreDamaged(f"{path}: {error}; {_RESTORE}") from error


def _make(path: Path, name: str, identity: str, partitions: int) -> None:
    for leftover in path.parent.glob(f"{path.name}*"):
        leftover.unlink()
    try:
        with contextlib.closing(connect(path, page_bytes=_PAGE_BYTES)) as connection:
            with connection:
                connection.pragma("application_id", _APPLICATION[name])
                connection.pragma("user_version", FORMAT)
                for table in ("meta", *_TABLES[name]):
                    connection.execute(sql(table))
                connection.execute(sql("put_meta"), ("identity", identity))
                for partition in range(partitions if name == LOG else 0):
                    connection.execute(sql("log/add_partition"), (partition,))
            connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0)
    except apsw.Error as error:
        raise translated(error, path) from error
    sync(path.parent)


def _rename(directory: Path, name: str) -> None:
    (directory / f"{name}.new").rename(directory / name)
    sync(directory)


def sync(directory: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
