"""Let the user edit a text in the editor of their choice."""

from __future__ import annotations

import shlex
import subprocess
import tempfile
from pathlib import Path

from busway.errors import BuswayError
from busway.settings import editor_command


def edit_text(text: str, suffix: str) -> str | None:
    """Return the edited text, ``None`` if it is unchanged.

    Raises :class:`BuswayError` if the editor cannot be run, or exits with an error.
    """
    command = editor_command()
    with tempfile.TemporaryDirectory(prefix="busway-") as folder:
        file = Path(folder) / f"edit{suffix}"
        file.write_text(text, "utf-8")
        try:
            subprocess.run([*shlex.split(command), str(file)], check=True)  # noqa: S603
        except (OSError, ValueError, subprocess.CalledProcessError) as error:
            raise BuswayError(f"the editor {command!r} failed: {error}; set EDITOR") from error
        found = file.read_text("utf-8")
    return None if found == text else found
