"""The options of ``busway replay start`` that select events."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from busway.cli.parameter import Parameters, add_parameters
from busway.cli.time_option import PAST_FORMS, parse_time
from busway.delivery.replay import ReplayOffsets, ReplaySelection
from busway.errors import BuswayError

_OFFSETS = re.compile(r"(\d+)(?::(\d*)-(\d*))?")
_Texts = list[str] | None
_OPTIONS: Parameters = {
    "since": (
        Annotated[
            str | None,
            typer.Option("--from", metavar="TIME", help=f"Taken then or later: {PAST_FORMS}."),
        ],
        None,
    ),
    "until": (
        Annotated[str | None, typer.Option("--to", metavar="TIME", help="Taken before this time.")],
        None,
    ),
    "offsets": (
        Annotated[_Texts, typer.Option("--offsets", help="PARTITION:FROM-TO. May be repeated.")],
        None,
    ),
    "pattern": (
        Annotated[
            str | None,
            typer.Option("--pattern", help="A pattern: JSON, or @FILE."),
        ],
        None,
    ),
    "ids": (
        Annotated[_Texts, typer.Option("--id", help="An event, or @FILE of ids. May be repeated.")],
        None,
    ),
}


def selecting(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command that takes a selection after a request the options for it."""
    return add_parameters(_OPTIONS, selection, behind=2)(command)


def selection(given: Mapping[str, Any]) -> ReplaySelection:
    """Return the selection of a command's options.

    Raises :class:`BuswayError` for one that cannot be read.
    """
    return ReplaySelection(
        since=parse_time(given["since"]),
        until=parse_time(given["until"]),
        offsets=tuple(_offsets(text) for text in given["offsets"] or ()),
        when=None if given["pattern"] is None else _pattern(given["pattern"]),
        ids=tuple(_ids(given["ids"] or ())),
    )


def _offsets(text: str) -> ReplayOffsets:
    found = _OFFSETS.fullmatch(text)
    if found is None:
        raise BuswayError(f"--offsets {text!r} is not valid; write it like 0:100-200, 0:100- or 0")
    partition, start, end = found.groups()
    return ReplayOffsets(int(partition), int(start or 0), int(end) if end else None)


def _pattern(text: str) -> dict[str, Any]:
    source = _read(text[1:], "--pattern") if text.startswith("@") else text
    try:
        return msgspec.json.decode(source, type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise BuswayError(f"--pattern is not a JSON object: {error}") from error


def _ids(given: Sequence[str]) -> list[str]:
    found: list[str] = []
    for text in given:
        lines = _read(text[1:], "--id").splitlines() if text.startswith("@") else [text]
        found += [line.strip() for line in lines if line.strip()]
    return found


def _read(file: str, option: str) -> str:
    try:
        return Path(file).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BuswayError(f"{option}: {file} cannot be read: {error}") from error
