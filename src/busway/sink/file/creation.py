"""New files of sinks: for their owner alone unless asked otherwise, whatever the umask."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from busway.errors import SinkError

FileMode = str | int
"""Permissions like ``"0640"``, or ``0o640``."""
OWNER_ONLY = 0o600


def parse_permissions(sink: str, mode: object) -> int:
    """Return declared permissions as a number. Raises :class:`SinkError`.

    >>> oct(parse_permissions("jsonl", "0640")), oct(parse_permissions("jsonl", 0o600))
    ('0o640', '0o600')
    """
    found = mode
    if isinstance(mode, str):
        try:
            found = int(mode, 8)
        except ValueError:
            found = None
    if not isinstance(found, int) or isinstance(found, bool) or not 0 <= found <= 0o777:
        raise SinkError(f'{sink}(mode={mode!r}): give permissions in octal, like "0640"')
    if found & OWNER_ONLY != OWNER_ONLY:
        raise SinkError(f"{sink}(mode={mode!r}): its owner must be able to read and write it")
    return found


def create_file(path: Path, mode: int, *, follow_symlinks: bool = True) -> bool:
    """Make a file where there is none, and say whether it was made; one that is there stays as it
    is. Without ``follow_symlinks`` a link, or what is no ordinary file, raises :class:`OSError`."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags | os.O_EXCL, mode)
    except FileExistsError:
        if follow_symlinks and path.exists():
            return False
        descriptor, made = (
            os.open(path, flags | (0 if follow_symlinks else os.O_NOFOLLOW), mode),
            False,
        )
    else:
        made = True
    try:
        if not follow_symlinks and not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(0, "it is not an ordinary file", str(path))
        if made:
            os.fchmod(descriptor, mode)
    finally:
        os.close(descriptor)
    return made
