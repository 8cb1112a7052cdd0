"""``busway new``: write a small project that runs as it is."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from busway.errors import BuswayError


def new(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty folder.")],
) -> None:
    """Write a small project: flows, tests that pass, an example of .env, a README.

    Example: `busway new shop && cd shop && busway run flows.py`
    """
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise BuswayError(f"{directory} is not empty; give a new folder")
    template = files("busway.cli") / "template"
    directory.mkdir(parents=True, exist_ok=True)
    for source in sorted(template.iterdir(), key=lambda one: one.name):
        name = source.name.removesuffix(".txt").replace("dot.", ".")
        text = source.read_text(encoding="utf-8").replace("{{name}}", directory.resolve().name)
        (directory / name).write_text(text, encoding="utf-8")
        typer.echo(f"wrote {directory / name}")
    typer.echo(f"next: cd {directory} && busway run flows.py")
