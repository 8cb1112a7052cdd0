"""Check whether a file can be written, without changing anything."""

from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path

from busway.outcome import Down


async def why_unwritable(path: Path) -> Down | None:
    """Return why a file cannot be written or created, ``None`` if it can."""
    return await asyncio.to_thread(_why_unwritable, path)


def _why_unwritable(path: Path) -> Down | None:
    if path.is_dir():
        return _as_down(path, errno.EISDIR)
    if not path.exists() and not path.parent.is_dir():
        return Down(f"the directory {path.parent} does not exist; make it")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        return _as_down(path, errno.EACCES)
    return None


def _as_down(path: Path, number: int) -> Down:
    return Down(f"{path}: {os.strerror(number)}", reachable=True)
