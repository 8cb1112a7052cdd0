"""A file of lines, truncated to its committed size before each append."""

from __future__ import annotations

import os
from pathlib import Path

import structlog

from busway.sink.file.creation import OWNER_ONLY, create_file

log = structlog.get_logger(__name__)


class LineFile:
    """One file; if a method raises :class:`OSError`, nothing counts as written."""

    def __init__(self, path: Path, mode: int = OWNER_ONLY, *, follow_symlinks: bool = True) -> None:
        self.path = path
        self._mode = mode
        self._follow = follow_symlinks
        self._flags = os.O_RDWR | (0 if follow_symlinks else os.O_NOFOLLOW)

    def create(self) -> None:
        """Create the file and its parent directories, durably."""
        if self._follow and self.path.exists():
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if not create_file(self.path, self._mode, follow_symlinks=self._follow):
            return
        directory = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def size(self) -> int:
        return self.path.stat().st_size

    def truncate_to(self, committed: int) -> None:
        """Truncate the file to the committed size if it is longer."""
        file = os.open(self.path, self._flags)
        try:
            if os.fstat(file).st_size > committed:
                os.ftruncate(file, committed)
        finally:
            os.close(file)

    def append(self, lines: bytes, committed: int) -> int:
        """Append lines at the committed size, durably; return the new size."""
        self.create()
        file = os.open(self.path, self._flags)
        try:
            return self._append(file, lines, committed)
        finally:
            os.close(file)

    def _append(self, file: int, lines: bytes, committed: int) -> int:
        end = os.fstat(file).st_size
        if end < committed:
            log.warning("file is shorter than it was", path=str(self.path), had=committed, has=end)
        elif end > committed:
            os.ftruncate(file, committed)
            end = committed
        if end and os.pread(file, 1, end - 1) != b"\n":
            lines = b"\n" + lines
        try:
            _write_all(file, lines, end)
            os.fsync(file)
        except OSError:
            os.ftruncate(file, end)
            raise
        return end + len(lines)


def _write_all(file: int, data: bytes, at: int) -> None:
    rest = memoryview(data)
    while rest:
        written = os.pwrite(file, rest, at)
        rest, at = rest[written:], at + written
