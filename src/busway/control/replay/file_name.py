"""The name of the file that a replay writes to: a name alone, from outside."""

from __future__ import annotations

import re

from busway.errors import BuswayError

_FILE_NAME = re.compile(r"[\w@+=,()][\w@+=,() .-]*")
_RESERVED_SUFFIXES = (".busway", "-wal", "-shm", "-journal")
"""How the files end in which the positions of a file are kept."""
_MAX_BYTES = 200


def file_name(text: str) -> str:
    """Return the name of a file that a replay may write. Raises :class:`BuswayError`.

    It is a name alone: where the file lies is for the server's settings to say.
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
