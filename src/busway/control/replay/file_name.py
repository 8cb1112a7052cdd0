"""Validate the name of the file that a replay writes to."""

from __future__ import annotations

import re

from busway.errors import BuswayError

_FILE_NAME = re.compile(r"[\w@+=,()][\w@+=,() .-]*")
_RESERVED_SUFFIXES = (".busway", "-wal", "-shm", "-journal")
"""The suffixes of the files that keep the positions of a file."""
_MAX_BYTES = 200


def file_name(text: str) -> str:
    """Return a valid file name for a replay. Raises :class:`BuswayError` for any other text.

    It has no directory, because the server's settings determine the directory.
    """
    shown = text if len(text) <= 100 else f"{text[:97]}..."
    if (
        not _FILE_NAME.fullmatch(text)
        or text.endswith(_RESERVED_SUFFIXES)
        or len(text.encode()) > _MAX_BYTES
    ):
        raise BuswayError(
            f"into: {shown!r} is not the name of a file; give a name without a directory, like"
            " again.jsonl: it is written to the server's BUSWAY_REPLAY_DIR, or else to replays in"
            " its data directory"
        )
    return text
