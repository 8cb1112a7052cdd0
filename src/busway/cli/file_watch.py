"""Watch a flows file and the Python files that it uses, for ``--reload``.

Notifications of the operating system are hints, so that an edit is noticed at once. They miss edits
behind links and on network file systems, so the files are read every other second as well.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import structlog

from busway.flow.load import source_files, split_target

POLL_INTERVAL_S = 2.0
_LATE_HINT_S = 3.0
"""How long after an edit was found a hint of it may still arrive."""
_FileSignature = tuple[int, ...]

_log = structlog.get_logger("busway")


class WatchedSources:
    """The flows file and the Python files that it uses, as last read."""

    def __init__(self, file: Path) -> None:
        self._file = file.absolute()
        self._read: dict[Path, tuple[_FileSignature, bytes]] = {}
        self._known = self._digests()
        self.missing = False
        """Whether the flows file did not exist at the last poll: it may be about to be replaced."""

    def has_changed(self) -> bool:
        """Read files whose metadata changed; return whether there is something new to load."""
        self.missing = not self._file.is_file()
        if self.missing:
            return False
        known, now = self._known, self._digests()
        # New files in other folders were found by the last load.
        new = any(path.parent == self._file.parent for path in now.keys() - known.keys())
        self._known = known | now
        return new or any(now[path] != known[path] for path in now.keys() & known.keys())

    def _digests(self) -> dict[Path, bytes]:
        found: dict[Path, tuple[_FileSignature, bytes]] = {}
        for path in source_files(self._file):
            with contextlib.suppress(OSError):
                found[path] = self._digest(path)
        self._read = found
        digests = {path: digest for path, (_, digest) in found.items()}
        if self._file in digests:  # a link may now point to a folder with other modules
            digests[self._file] += os.fsencode(self._file.resolve())
        return digests

    def _digest(self, path: Path) -> tuple[_FileSignature, bytes]:
        at = path.stat()
        signature = (at.st_dev, at.st_ino, at.st_size, at.st_mtime_ns, at.st_ctime_ns)
        known = self._read.get(path)
        if known is not None and known[0] == signature:
            return known
        return signature, hashlib.sha256(path.read_bytes()).digest()


@contextlib.asynccontextmanager
async def watch_sources(target: str) -> AsyncIterator[asyncio.Event]:
    """Yield an event that is set by each edit from now on.

    Edits that the system does not report (network file systems, too many watches) are found by
    polling.
    """
    file = split_target(target)[0]
    edited, hint = asyncio.Event(), asyncio.Event()
    known = await asyncio.to_thread(WatchedSources, file)
    tasks = [
        asyncio.create_task(_notify(file.parent, hint), name="edits"),
        asyncio.create_task(_poll(known, hint, edited), name="sources"),
    ]
    try:
        await asyncio.sleep(0)  # its first step starts watching
        yield edited
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def _notify(folder: Path, hint: asyncio.Event) -> None:
    """Set ``hint`` whenever the system reports an edit below a folder."""
    from watchfiles import awatch  # noqa: PLC0415 - only for --reload

    try:
        async for _ in awatch(folder, watch_filter=_is_python):
            hint.set()
    except Exception as error:  # polling finds edits without it
        _log.warning(
            f"edits are noticed after up to {POLL_INTERVAL_S:.0f} s: the folder cannot be watched",
            folder=str(folder),
            error=str(error),
        )


async def _poll(known: WatchedSources, hint: asyncio.Event, edited: asyncio.Event) -> None:
    """Set ``edited`` on each hint, and on each edit without a hint."""
    loop = asyncio.get_running_loop()
    unhinted = float("-inf")
    while True:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(hint.wait(), POLL_INTERVAL_S)
        hinted = hint.is_set()
        hint.clear()
        changed = await asyncio.to_thread(known.has_changed)
        late = loop.time() - unhinted < _LATE_HINT_S  # a late hint of an edit that polling found
        if changed or (hinted and not late and not known.missing):
            unhinted = unhinted if hinted else loop.time()
            edited.set()


def _is_python(_: object, path: str) -> bool:
    return path.endswith(".py")
