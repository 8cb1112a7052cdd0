"""Creation of files with exact permissions, by default for the owner only."""

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
    permissions = mode
    if isinstance(mode, str):
        try:
            permissions = int(mode, 8)
        except ValueError:
            permissions = None
    if (
        not isinstance(permissions, int)
        or isinstance(permissions, bool)
        or not 0 <= permissions <= 0o777
    ):
        raise SinkError(f'{sink}(mode={mode!r}): give permissions in octal, like "0640"')
    if permissions & OWNER_ONLY != OWNER_ONLY:
        raise SinkError(f"{sink}(mode={mode!r}): the owner must be able to read and write the file")
    return permissions


def create_file(path: Path, mode: int, *, follow_symlinks: bool = True) -> bool:
    """Create a file if it does not exist; return whether it was created.

    Without ``follow_symlinks``, a link or anything but a regular file raises :class:`OSError`.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags | os.O_EXCL, mode)
    except FileExistsError:
        if follow_symlinks and path.exists():
            return False
        descriptor, created = (
            os.open(path, flags | (0 if follow_symlinks else os.O_NOFOLLOW), mode),
            False,
        )
    else:
        created = True
    try:
        if not follow_symlinks and not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(0, "it is not a regular file", str(path))
        if created:
            os.fchmod(descriptor, mode)
    finally:
        os.close(descriptor)
    return created
