"""``busway dead``: look at dead letters, and edit one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from busway.cli import dead_deal
from busway.cli.ask import segment
from busway.cli.call import Answer, Call, calling
from busway.cli.dead_filter import Filter, check_flow, filtering
from busway.cli.dead_show import print_causes, print_letter
from busway.cli.edit import edited
from busway.cli.failure import Refused
from busway.cli.show import as_json, as_table, echo
from busway.control.dead_letter.dead_letter import (
    DeadLetter,
    DeadLetterDetail,
    RootCause,
    parse_place,
)
from busway.errors import BuswayError, NotFound

app = typer.Typer(
    no_args_is_help=True,
    help="Dead letters: list, group, show, edit, patch, redrive, discard.\n\n"
    "Example: busway dead groups --flow orders",
)
app.command("redrive")(dead_deal.redrive)
app.command("patch")(dead_deal.patch)
app.command("discard")(dead_deal.discard)
app.command("stop")(dead_deal.stop)
app.command("resume")(dead_deal.resume)

Limit = Annotated[int, typer.Option(min=1, help="At most so many.")]
Name = Annotated[
    str, typer.Argument(metavar="EVENT", help="An event's id, or flow/partition/offset.")
]


@app.command("list")
@calling
@filtering
def list_command(call: Call, filter: Filter, limit: Limit = 100) -> None:
    """List dead letters, or with --parked parked events.

    Example: `busway dead list --flow orders --where 'data.customer.id=42'`
    """
    letters = call.items("/dead", DeadLetter, limit, **filter.params)
    if call.json:
        as_json({"items": letters})
        return
    if not letters:
        check_flow(call, filter.params)
        echo(_none(call, filter))
        return
    rows = [
        (one.place, one.id, one.attempts, f"{one.since:%F %T}", one.fingerprint, _error(one))
        for one in letters
    ]
    as_table(("place", "event", "attempts", "since", "fingerprint", "error"), rows)


@app.command("groups")
@calling
@filtering
def groups_command(call: Call, filter: Filter, limit: Limit = 100) -> None:
    """Group dead letters and parked events by root cause, the largest group first.

    Parked events have attempts left and are tried again; with --parked only they are shown.

    Example: `busway dead groups --flow orders`
    """
    answer = call.get("/dead/groups", limit=min(limit, 1_000), **filter.params)
    if call.json:
        answer.print()
        return
    found = answer.read(_Causes).items
    if found:
        print_causes(found, cut=len(found) >= min(limit, 1_000))
    else:
        check_flow(call, filter.params)
        echo("No dead letters and no parked events.")


@app.command("show")
@calling
def show_command(call: Call, name: Name) -> None:
    """Show a dead letter whole: its payload, its error and every attempt.

    Example: `busway dead show orders/2/4711`
    """
    letters = [_read(call, place)[1] for place in _places(call, name)]
    if call.json:
        as_json({"items": letters})
        return
    for letter in letters:
        print_letter(letter)


@app.command("edit")
@calling
def edit_command(
    call: Call,
    name: Name,
    file: Annotated[
        str | None, typer.Option("--file", help="Take the event from here; - is stdin.")
    ] = None,
) -> None:
    """Change the event of a dead letter: in $EDITOR, or from a file. Then redrive it.

    Example: `busway dead edit orders/2/4711 --file event.json`
    """
    places = _places(call, name)
    if len(places) > 1:
        raise BuswayError(f"{name!r} is several: {', '.join(places)}; name one by its place")
    answer, letter = _read(call, places[0])
    text = _edited(letter) if file is None else _text(file)
    if text is None:
        echo("Nothing was changed.")
        return
    put = call.put(f"{_path(places[0])}/event", _compact(text), match=answer.etag)
    if call.json:
        put.print()
    else:
        echo(f"{places[0]} is edited; `busway dead redrive {places[0]}` gives it to its flow")


class _Causes(msgspec.Struct):
    items: list[RootCause]


def _none(call: Call, filter: Filter) -> str:
    """Return that there is nothing, and how many parked events there are instead."""
    if "state" in filter.params:
        return "No parked events."
    if "where" in filter.params:
        return "No dead letters."
    parked = call.get("/dead/groups", limit=1_000, state="parked", **filter.params).read(_Causes)
    count = sum(one.count for one in parked.items)
    return f"No dead letters; {count:,} parked (--parked)." if count else "No dead letters."


def _places(call: Call, name: str) -> list[str]:
    """Return the places of the letters called ``name``; raises :class:`NotFound` for none."""
    if parse_place(name) is not None and _is_there(call, name):
        return [name]
    found = [
        one.place
        for state in ("dead", "parked")
        for one in call.items("/dead", DeadLetter, state=state, id=name)
    ]
    if not found:
        raise NotFound(f"there is no dead letter {name!r}; `busway dead list` shows them")
    return found


def _is_there(call: Call, place: str) -> bool:
    try:
        _read(call, place)
    except Refused as error:
        if error.status != 404:
            raise
        return False
    return True


def _read(call: Call, place: str) -> tuple[Answer[Any], DeadLetterDetail]:
    answer = call.get(_path(place))
    return answer, answer.read(DeadLetterDetail)


def _path(place: str) -> str:
    return "/dead/" + "/".join(segment("dead letter", one) for one in place.split("/"))


def _edited(letter: DeadLetterDetail) -> str | None:
    shown = msgspec.json.format(bytes(letter.event), indent=2).decode()
    return edited(f"{shown}\n", ".json")


def _text(file: str) -> str:
    if file == "-":
        return sys.stdin.read()
    try:
        return Path(file).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BuswayError(f"{file} cannot be read: {error}") from error


def _compact(text: str) -> msgspec.Raw:
    """Return JSON on one line, its numbers as they were written."""
    try:
        msgspec.json.decode(text)
        return msgspec.Raw(msgspec.json.format(text.encode(), indent=-1))
    except (msgspec.MsgspecError, UnicodeEncodeError) as error:
        raise BuswayError(f"the event is no JSON: {error}") from error


def _error(letter: DeadLetter) -> str:
    return f"{letter.error}: {letter.reason}" if letter.error else ""
