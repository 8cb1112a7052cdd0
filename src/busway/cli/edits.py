"""Edits of a flows file, and of the Python files that it uses, for ``--reload``.

What the system reports of files is a hint, so that an edit is noticed at once. It misses what
happens behind links and on network file systems: the truth is what is read every other second.
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

LOOK_EVERY_S = 2.0
_QUIET_S = 3.0
"""How long after an edit was found a hint may still come of it."""
_Signature = tuple[int, ...]

_log = structlog.get_logger("busway")


class Sources:
    """The flows file and the Python files that it uses, as they were read last."""

    def __init__(self, file: Path) -> None:
        self._file = file.absolute()
        self._read: dict[Path, tuple[_Signature, bytes]] = {}
        self._known = self._digests()
        self.missing = False
        """Whether the flows file was not there at the last look: it may be about to be replaced."""

    def changed(self) -> bool:
        """Read again what looks different; say whether there is something new to load."""
        self.missing = not self._file.is_file()
        if self.missing:
            return False
        known, now = self._known, self._digests()
        # What is new and elsewhere was found by the last load.
        new = any(path.parent == self._file.parent for path in now.keys() - known.keys())
        self._known = known | now
        return new or any(now[path] != known[path] for path in now.keys() & known.keys())

    def _digests(self) -> dict[Path, bytes]:
        found: dict[Path, tuple[_Signature, bytes]] = {}
        for path in source_files(self._file):
            with contextlib.suppress(OSError):
                found[path] = self._digest(path)
        self._read = found
        digests = {path: digest for path, (_, digest) in found.items()}
        if self._file in digests:  # files behind the same link may differ that are not looked at
            digests[self._file] += os.fsencode(self._file.resolve())
        return digests

    def _digest(self, path: Path) -> tuple[_Signature, bytes]:
        at = path.stat()
        signature = (at.st_dev, at.st_ino, at.st_size, at.st_mtime_ns, at.st_ctime_ns)
        known = self._read.get(path)
        if known is not None and known[0] == signature:
            return known
        return signature, hashlib.sha256(path.read_bytes()).digest()


@contextlib.asynccontextmanager
async def edits(target: str) -> AsyncIterator[asyncio.Event]:
    """Yield an event that is set by each edit from now on.

    Where the system does not report edits (a network file system, too many watches), looking
    finds them.
    """
    file = split_target(target)[0]
    edited, hint = asyncio.Event(), asyncio.Event()
    known = await asyncio.to_thread(Sources, file)
    tasks = [
        asyncio.create_task(_listen(file.parent, hint), name="edits"),
        asyncio.create_task(_look(known, hint, edited), name="sources"),
    ]
    try:
        await asyncio.sleep(0)  # its first step begins to watch
        yield edited
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def _listen(folder: Path, hint: asyncio.Event) -> None:
    """Set ``hint`` whenever the system reports an edit below a folder."""
    from watchfiles import awatch  # noqa: PLC0415 - what a run without --reload need not load

    try:
        async for _ in awatch(folder, watch_filter=_matters):
            hint.set()
    except Exception as error:  # whatever the system says: edits are found without it
        _log.warning(
            f"edits are noticed after {LOOK_EVERY_S:.0f} s: the folder cannot be watched",
            folder=str(folder),
            error=str(error),
        )


async def _look(known: Sources, hint: asyncio.Event, edited: asyncio.Event) -> None:
    """Set ``edited`` by each hint, and by each edit that there was no hint of."""
    loop = asyncio.get_running_loop()
    unhinted = float("-inf")
    while True:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(hint.wait(), LOOK_EVERY_S)
        hinted = hint.is_set()
        hint.clear()
        changed = await asyncio.to_thread(known.changed)
        late = loop.time() - unhinted < _QUIET_S  # a hint of what was found without it
        if changed or (hinted and not late and not known.missing):
            unhinted = unhinted if hinted else loop.time()
            edited.set()


def _matters(_: object, path: str) -> bool:
    return path.endswith(".py")
