"""Which servers of this user run on this machine, and where each keeps its token.

Each has a small file in the user's state folder, locked for as long as the server runs, so that one
which is left over is never believed. The token itself is not in it.
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

from busway.cli.serving import keep_from_forks
from busway.network import is_loopback
from busway.settings import state_directory

_FOLDER = "servers"
_NEW = ".new"
_LOCAL = {"localhost": ("127.0.0.1", "::1")}


class Registered(msgspec.Struct, frozen=True):
    """A server at a loopback URL, on which machine, and the data directory that has its token."""

    url: str
    machine: str
    data: str


@contextlib.contextmanager
def registered(url: str, data: Path) -> Iterator[None]:
    """Let this user's commands find the token of a server by its URL while the block runs.

    Nothing comes of it for an address that is not on loopback, or without a state folder.
    """
    with contextlib.ExitStack() as stack:
        name, folder = _name(url), _own_folder()
        if name is not None and folder is not None:
            record = Registered(url, socket.gethostname(), str(data.absolute()))
            with contextlib.suppress(OSError):
                _sweep(folder)
                stack.enter_context(_held(folder / name, msgspec.json.encode(record)))
        yield


def found_at(url: str) -> Registered | None:
    """Return this user's server at a URL, if one runs there; its ``url`` is the one to use."""
    folder = state_directory()
    if folder is None:
        return None
    for place in _places(url):
        name = _name(place)
        found = None if name is None else _running(folder / _FOLDER / name)
        if found is not None and (found.url, found.machine) == (place, socket.gethostname()):
            return found
    return None


def _places(url: str) -> Iterator[str]:
    """Return the loopback URLs that a URL can stand for, in the form that they are kept in."""
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


def _name(url: str) -> str | None:
    place = url.removeprefix("http://")
    host = place.rpartition(":")[0].strip("[]")
    return place.replace(":", "_") if is_loopback(host) else None


def _own_folder() -> Path | None:
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
def _held(path: Path, content: bytes) -> Iterator[None]:
    new = path.with_name(f"{path.name}{_NEW}{secrets.token_hex(4)}")
    descriptor = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        keep_from_forks(descriptor)
        os.write(descriptor, content)
        new.rename(path)
        yield
    finally:
        with contextlib.suppress(OSError):
            if path.stat().st_ino == os.fstat(descriptor).st_ino:
                path.unlink()
        new.unlink(missing_ok=True)
        os.close(descriptor)


def _running(path: Path) -> Registered | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if status.st_uid != os.geteuid() or status.st_mode & 0o022 or not _is_locked(descriptor):
            return None
        try:
            return msgspec.json.decode(file.read(), type=Registered)
        except msgspec.MsgspecError:
            return None


def _is_locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def _sweep(folder: Path) -> None:
    """Remove what servers have left that were killed."""
    for path in folder.iterdir():
        if _NEW not in path.name:
            with contextlib.suppress(OSError), path.open("rb") as file:
                if not _is_locked(file.fileno()):
                    path.unlink()
