"""The file in a data directory in which a server announces its address."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec

SERVER = "server.json"
LOCK = "lock"


class ServerRecord(msgspec.Struct, frozen=True):
    """The URL of a server's API, its process, and when it started."""

    url: str
    pid: int
    started_at: datetime


@contextlib.contextmanager
def announce_server(data: Path, url: str) -> Iterator[None]:
    """Let other processes of this user find the server's API while the block runs."""
    path = data / SERVER
    serving = ServerRecord(url, os.getpid(), datetime.now(UTC))
    _write(path, msgspec.json.encode(serving))
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def close_in_forks(lock: int) -> None:
    """Close a lock in forked processes, so that they do not hold the data directory's lock."""

    def forget() -> None:
        with contextlib.suppress(OSError):
            os.close(lock)

    os.register_at_fork(after_in_child=forget)


def is_directory_open(data: Path) -> bool:
    """Return whether a process has the data directory open."""
    try:
        descriptor = os.open(data / LOCK, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def read_server_record(data: Path) -> ServerRecord | None:
    """Return the server that has the data directory open, if it has announced itself."""
    try:
        found = msgspec.json.decode((data / SERVER).read_bytes(), type=ServerRecord)
        holder = (data / LOCK).read_text("ascii").strip()
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return found if str(found.pid) == holder else None


def _write(path: Path, content: bytes) -> None:
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    new.rename(path)
