"""``busway new``: create a small project that runs as it is."""

from __future__ import annotations

import re
import shlex
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from busway.cli.operation_command import written_command
from busway.cli.output import echo
from busway.errors import BuswayError


@written_command("new")
def new(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty folder.")],
) -> None:
    """Write a small project: flows, tests that pass, a README.

    Example: `busway new shop && cd shop && busway run flows.py`
    """
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise BuswayError(f"{directory} is not empty; use a new folder")
    template = files("busway.cli") / "template"
    called = re.sub(r"[^\w.-]+", "-", directory.resolve().name)
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BuswayError(f"{directory} cannot be created: {error.strerror}") from error
    for source in sorted(template.iterdir(), key=lambda file: file.name):
        text = source.read_text(encoding="utf-8").replace("{{name}}", called)
        target = directory / _target_name(source.name)
        target.write_text(text, encoding="utf-8")
        echo(f"wrote {target}")
    echo(f"next: cd {shlex.quote(str(directory))} && busway run flows.py")


def _target_name(name: str) -> str:
    """Return the name in the project of a file of the template.

    >>> _target_name("dot.env.example.txt"), _target_name("flows.py.txt")
    ('.env.example', 'flows.py')
    """
    name = name.removesuffix(".txt")
    return f".{name.removeprefix('dot.')}" if name.startswith("dot.") else name
