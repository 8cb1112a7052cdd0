"""The registry of this user's running servers on this machine, and where each keeps its token.

Each server has a small file in the user's state folder, which it locks while it runs, so that stale
files are ignored. The token itself is not in it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx2
import msgspec

from busway.cli.server_record import close_in_forks
from busway.network import is_loopback
from busway.settings import state_directory

_FOLDER = "servers"
_NEW = ".new"
_LOCAL = {"localhost": ("127.0.0.1", "::1")}


class RegisteredServer(msgspec.Struct, frozen=True):
    """A server: its loopback URL, its machine, and the data directory with its token."""

    url: str
    machine: str
    data: str


@contextlib.contextmanager
def register_server(url: str, data: Path) -> Iterator[None]:
    """Let this user's commands find the token of a server by its URL while the block runs.

    It does nothing for an address that is not loopback, or without a state folder.
    """
    with contextlib.ExitStack() as stack:
        name, folder = _file_name(url), _registry_folder()
        if name is not None and folder is not None:
            record = RegisteredServer(url, socket.gethostname(), str(data.absolute()))
            with contextlib.suppress(OSError):
                _remove_stale(folder)
                stack.enter_context(_locked_file(folder / name, msgspec.json.encode(record)))
        yield


def find_server(url: str) -> RegisteredServer | None:
    """Return this user's running server at a URL, if there is one; use its ``url``."""
    folder = state_directory()
    if folder is None:
        return None
    for place in _loopback_urls(url):
        name = _file_name(place)
        found = None if name is None else _read_if_running(folder / _FOLDER / name)
        if found is not None and (found.url, found.machine) == (place, socket.gethostname()):
            return found
    return None


def _loopback_urls(url: str) -> Iterator[str]:
    """Yield the loopback URLs that a URL may stand for, as servers register them."""
    try:
        found = httpx2.URL(url)
    except httpx2.InvalidURL:
        return
    if found.scheme != "http" or found.userinfo or found.path.strip("/") or found.query:
        return
    for host in _LOCAL.get(found.host, (found.host,)):
        if is_loopback(host):
            shown = f"[{host}]" if ":" in host else host
            yield f"http://{shown}:{found.port or 80}"


def _file_name(url: str) -> str | None:
    place = url.removeprefix("http://")
    host = place.rpartition(":")[0].strip("[]")
    return place.replace(":", "_") if is_loopback(host) else None


def _registry_folder() -> Path | None:
    state = state_directory()
    if state is None:
        return None
    folder = state / _FOLDER
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if folder.stat().st_uid != os.geteuid():
            return None
        folder.chmod(0o700)
    except OSError:
        return None
    return folder


@contextlib.contextmanager
def _locked_file(path: Path, content: bytes) -> Iterator[None]:
    new = path.with_name(f"{path.name}{_NEW}{secrets.token_hex(4)}")
    descriptor = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        close_in_forks(descriptor)
        os.write(descriptor, content)
        new.rename(path)
        yield
    finally:
        with contextlib.suppress(OSError):
            if path.stat().st_ino == os.fstat(descriptor).st_ino:
                path.unlink()
        new.unlink(missing_ok=True)
        os.close(descriptor)


def _read_if_running(path: Path) -> RegisteredServer | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if status.st_uid != os.geteuid() or status.st_mode & 0o022 or not _is_locked(descriptor):
            return None
        try:
            return msgspec.json.decode(file.read(), type=RegisteredServer)
        except msgspec.MsgspecError:
            return None


def _is_locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def _remove_stale(folder: Path) -> None:
    """Remove the files of servers that were killed."""
    for path in folder.iterdir():
        if _NEW not in path.name:
            with contextlib.suppress(OSError), path.open("rb") as file:
                if not _is_locked(file.fileno()):
                    path.unlink()
