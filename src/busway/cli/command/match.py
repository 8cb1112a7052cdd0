"""``busway match``: try an event pattern on an event."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from busway.cli.call import Json
from busway.cli.operation_command import written_command
from busway.cli.output import echo, print_error, print_json
from busway.errors import BuswayError, EventError
from busway.rule import Pattern

Given = Annotated[str, typer.Argument(help="JSON, the path of a JSON file, or - for stdin.")]


@written_command("match")
def match(pattern: Given, event: Given, json: Json = False) -> None:
    """Show whether a pattern matches an event, and if not, why.

    That is the clause that failed, and the value. The exit code is 0 if it matches, 1 if not, 2 for
    an invalid pattern or event.

    Example: `busway match '{"type": ["order.created"]}' event.json`
    """
    try:
        mismatch = Pattern.parse(_text(pattern)).explain(_object(_text(event)))
    except BuswayError as error:
        print_error(error)
        raise typer.Exit(2) from error
    if json:
        print_json({"matches": mismatch is None, "why_not": mismatch})
    else:
        echo("yes" if mismatch is None else f"no: {mismatch}")
    raise typer.Exit(0 if mismatch is None else 1)


def _text(given: str) -> str:
    if given == "-":
        return typer.get_text_stream("stdin").read()
    if given.lstrip().startswith(("{", "[")):
        return given
    try:
        return Path(given).read_text(encoding="utf-8")
    except OSError as error:
        raise BuswayError(f"{given}: {error.strerror}; use JSON, a file, or -") from error
    except UnicodeDecodeError as error:
        raise BuswayError(f"{given} is not UTF-8 text") from error


def _object(text: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise EventError(f"the event is not a JSON object: {error}") from error
