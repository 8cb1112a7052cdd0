"""The data directory: two files that belong together, used by one process at a time."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
import uuid
from pathlib import Path

import apsw

from busway.engine.sqlite.database import connect, sql, to_store_error
from busway.errors import StoreCorrupted, StoreLocked, StoreTooNew, StoreTooOld

FORMAT_VERSION = 5
LOG_FILE = "log.db"
LEDGER_FILE = "ledger.db"
_APPLICATION_IDS = {LOG_FILE: 0x42_57_4C_4F, LEDGER_FILE: 0x42_57_4C_45}
_TABLES = {
    LOG_FILE: ("schema/batch", "schema/partition"),
    LEDGER_FILE: (
        "schema/lane",
        "schema/failed_event",
        "schema/failed_event_by_state",
        "schema/failed_event_by_due",
        "schema/failed_event_by_event_id",
        "schema/failed_event_by_key",
        "schema/failed_event_by_fingerprint",
        "schema/failed_event_by_event_key",
        "schema/failed_event_by_since",
        "schema/failed_event_count",
        "schema/settled_range",
        "schema/named_value",
        "schema/resolved_event",
        "schema/resolved_event_by_event_id",
        "schema/resolved_event_by_time",
        "schema/audit",
        "schema/audit_by_target",
    ),
}
_PAGE_BYTES = 4096
_LOCK_TIMEOUT_S = 5.0
"""How long the workers of a killed process may take to end after it."""
_RESTORE_REMEDY = "restore the whole data directory from a backup"


def create_directory(directory: Path) -> None:
    """Create the directory, for this user alone, if it does not exist."""
    if not directory.is_dir():
        directory.mkdir(mode=0o700, parents=True)
        fsync_directory(directory.parent)


def lock(directory: Path) -> int:
    """Lock the directory for this process, until the returned descriptor is closed.

    If only workers of a dead process hold the lock, it waits for them to end. Raises
    :class:`StoreLocked`, which names the process that holds it.
    """
    descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + _LOCK_TIMEOUT_S
    while not _try_lock(descriptor):
        holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
        if _is_dead(holder) and time.monotonic() < deadline:
            # flock has no timeout
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


def _try_lock(descriptor: int) -> bool:
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


def create_files(directory: Path, partitions: int) -> None:
    """Create the two files in a new directory, or finish an interrupted creation.

    The ledger gets its name first and the log last, so a log exists only if both files do.
    """
    names = {path.name for path in directory.iterdir()}
    if LOG_FILE in names or LEDGER_FILE in names:
        if LOG_FILE not in names and LOG_FILE + ".new" in names:
            _publish(directory, LOG_FILE)
        return
    if orphans := sorted(names & {LOG_FILE + "-wal", LEDGER_FILE + "-wal"}):
        raise StoreCorrupted(
            f"{directory} has {orphans[0]} without its database; {_RESTORE_REMEDY}"
        )
    identity = str(uuid.uuid4())
    for name in (LEDGER_FILE, LOG_FILE):
        _create_database(directory / f"{name}.new", name, identity, partitions)
    for name in (LEDGER_FILE, LOG_FILE):
        _publish(directory, name)


def identify(directory: Path) -> str:
    """Check both files of a directory and return the identity of its log.

    Raises :class:`StoreTooNew` or :class:`StoreTooOld` for a format of another Busway, and
    :class:`StoreCorrupted` if a file is missing, is not what its name says, or belongs to another
    directory.
    """
    for name in (LOG_FILE, LEDGER_FILE):
        if not (directory / name).exists():
            raise StoreCorrupted(f"{directory / name} is missing; {_RESTORE_REMEDY}")
    log, ledger = (_identity(directory / name) for name in (LOG_FILE, LEDGER_FILE))
    if log != ledger:
        raise StoreCorrupted(
            f"{LOG_FILE} and {LEDGER_FILE} in {directory} do not belong together; {_RESTORE_REMEDY}"
        )
    return log


def _identity(path: Path) -> str:
    with contextlib.closing(connect(path)) as connection:
        try:
            application, version = (
                connection.pragma("application_id"),
                connection.pragma("user_version"),
            )
            if application != _APPLICATION_IDS[path.name]:
                raise StoreCorrupted(f"{path} was not made by Busway; {_RESTORE_REMEDY}")
            _check_format(path, version)
            return str(dict(connection.execute(sql("get_meta")))["identity"])
        except (apsw.Error, KeyError) as error:
            raise StoreCorrupted(f"{path}: {error}; {_RESTORE_REMEDY}") from error


def _check_format(path: Path, version: int) -> None:
    versions = f"{path} has format {version} and this Busway reads format {FORMAT_VERSION}"
    if version > FORMAT_VERSION:
        raise StoreTooNew(f"{versions}; upgrade Busway")
    if version < FORMAT_VERSION:
        raise StoreTooOld(
            f"{versions}; start with a new data directory, and let the Busway that wrote this one"
            " deliver what is left in it"
        )


def _create_database(path: Path, name: str, identity: str, partitions: int) -> None:
    for leftover in path.parent.glob(f"{path.name}*"):
        leftover.unlink()
    try:
        with contextlib.closing(connect(path, page_bytes=_PAGE_BYTES)) as connection:
            with connection:
                connection.pragma("application_id", _APPLICATION_IDS[name])
                connection.pragma("user_version", FORMAT_VERSION)
                for table in ("schema/meta", *_TABLES[name]):
                    connection.execute(sql(table))
                connection.execute(sql("put_meta"), ("identity", identity))
                for partition in range(partitions if name == LOG_FILE else 0):
                    connection.execute(sql("log/add_partition"), (partition,))
            connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0)
    except apsw.Error as error:
        raise to_store_error(error, path) from error
    fsync_directory(path.parent)


def _publish(directory: Path, name: str) -> None:
    (directory / f"{name}.new").rename(directory / name)
    fsync_directory(directory)


def fsync_directory(directory: Path) -> None:
    """Make the entries of a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
