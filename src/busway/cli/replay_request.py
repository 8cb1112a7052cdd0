"""What a command asks to be replayed: its options, as a request of the API."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Concatenate, ParamSpec

import msgspec
import typer

from busway.cli.call import Call
from busway.cli.declare import REQUIRED, Options, adding
from busway.cli.moment import BACK, moment
from busway.control.replay.operation import ReplayRequest
from busway.delivery.replay import ReplayOffsets, ReplaySelection
from busway.errors import BuswayError

P = ParamSpec("P")
_OFFSETS = re.compile(r"(\d+)(?::(\d*)-(\d*))?")
_Some = list[str] | None
_OPTIONS: Options = {
    "flow": (Annotated[str, typer.Argument(help="The flow.")], REQUIRED),
    "since": (
        Annotated[
            str | None, typer.Option("--from", metavar="TIME", help=f"Taken then or later: {BACK}.")
        ],
        None,
    ),
    "until": (
        Annotated[str | None, typer.Option("--to", metavar="TIME", help="Taken before this time.")],
        None,
    ),
    "offsets": (
        Annotated[_Some, typer.Option("--offsets", help="PARTITION:FROM-TO; give it repeatedly.")],
        None,
    ),
    "pattern": (
        Annotated[str | None, typer.Option("--pattern", help="A pattern too: JSON, or @FILE.")],
        None,
    ),
    "ids": (
        Annotated[_Some, typer.Option("--id", help="This event; repeatedly, or @FILE of ids.")],
        None,
    ),
    "into": (
        Annotated[str | None, typer.Option("--into", help="A file on the server, not the sink.")],
        None,
    ),
    "rate": (Annotated[str | None, typer.Option("--rate", help="Like 100/s.")], None),
    "force": (Annotated[bool, typer.Option("--force", help="What has landed, too.")], False),
}


def requesting(command: Callable[Concatenate[Call, ReplayRequest, P], None]) -> Callable[..., None]:
    """Give a command that takes a request the options for it."""
    return adding(_OPTIONS, request, behind=1)(command)


def request(given: Mapping[str, Any]) -> ReplayRequest:
    """Return the request of a command's options.

    Raises :class:`BuswayError` for one that cannot be read.
    """
    select = ReplaySelection(
        since=moment(given["since"]),
        until=moment(given["until"]),
        offsets=tuple(_offsets(one) for one in given["offsets"] or ()),
        when=None if given["pattern"] is None else _pattern(given["pattern"]),
        ids=tuple(_ids(given["ids"] or ())),
    )
    into, rate = given["into"], given["rate"]
    return ReplayRequest(
        flow=given["flow"], select=select, into=into, rate=rate, force=given["force"]
    )


def _offsets(text: str) -> ReplayOffsets:
    found = _OFFSETS.fullmatch(text)
    if found is None:
        raise BuswayError(f"--offsets {text!r}: write it like 0:100-200, 0:100- or 0")
    partition, start, end = found.groups()
    return ReplayOffsets(int(partition), int(start or 0), int(end) if end else None)


def _pattern(text: str) -> dict[str, Any]:
    source = _read(text[1:], "--pattern") if text.startswith("@") else text
    try:
        return msgspec.json.decode(source, type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise BuswayError(f"--pattern: it is no JSON object: {error}") from error


def _ids(given: Sequence[str]) -> list[str]:
    found: list[str] = []
    for one in given:
        lines = _read(one[1:], "--id").splitlines() if one.startswith("@") else [one]
        found += [line.strip() for line in lines if line.strip()]
    return found


def _read(file: str, option: str) -> str:
    try:
        return Path(file).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BuswayError(f"{option}: {file} cannot be read: {error}") from error
