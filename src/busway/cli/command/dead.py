"""``busway dead``: look at dead letters, edit one, and stop or resume a job on many."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from busway.cli.api_error import ProblemError
from busway.cli.call import ApiAnswer, Call
from busway.cli.command.dead_bulk import check_flow, discard, patch, redrive
from busway.cli.command.dead_print import print_causes, print_letter
from busway.cli.command.job import print_job
from busway.cli.editor import edit_text
from busway.cli.operation_command import api_command, command_body
from busway.cli.output import echo, print_json, print_table
from busway.cli.request_option import read_text
from busway.control.dead_letter.dead_letter import (
    DeadLetter,
    DeadLetterDetail,
    parse_place,
)
from busway.control.dead_letter.selection import DeadLetterSelection
from busway.control.operation.dead import (
    DeadLetterPlace,
    EditDead,
    ListDead,
    ListGroups,
    edit_dead,
    list_dead,
    list_groups,
    show_dead,
)
from busway.control.operation.job import JobId, resume_job, stop_job
from busway.errors import BuswayError, NotFound

__all__ = ["discard", "patch", "redrive"]
Name = Annotated[
    str, typer.Argument(metavar="EVENT", help="An event's id, or flow/partition/offset.")
]
Limit = Annotated[int, typer.Option("--limit", min=1, help="Maximum number of items.")]
JobArgument = Annotated[str, typer.Argument(metavar="JOB", help="The job's id.")]


@command_body(list_dead)
def list_command(call: Call, request: ListDead, limit: Limit = 100) -> None:
    letters = call.items_of(list_dead, request, limit)
    if call.json:
        print_json({"items": letters})
        return
    if not letters:
        check_flow(call, request.selection.flow)
        echo(_nothing(call, request.selection))
        return
    rows = [
        (
            letter.place,
            letter.id,
            letter.attempts,
            f"{letter.since:%F %T}",
            letter.fingerprint,
            f"{letter.error}: {letter.reason}" if letter.error else "",
        )
        for letter in letters
    ]
    print_table(("place", "event", "attempts", "since", "fingerprint", "error"), rows)


@command_body(list_groups)
def groups_command(call: Call, request: ListGroups) -> None:
    answer = call.run(list_groups, request)
    causes = answer.value.items
    if call.json:
        answer.print()
    elif causes:
        print_causes(causes, cut=len(causes) >= request.limit)
    else:
        check_flow(call, request.flow)
        echo("No dead letters and no parked events.")


@api_command("dead show")
def show_command(call: Call, name: Name) -> None:
    """Show a dead letter in full: its event, its error and every attempt.

    Example: `busway dead show orders/2/4711`
    """
    letters = [call.run(show_dead, place).value for place in _places(call, name)]
    if call.json:
        print_json({"items": letters})
        return
    for letter in letters:
        print_letter(letter)


@api_command("dead edit")
def edit_command(
    call: Call,
    name: Name,
    file: Annotated[
        str | None, typer.Option("--file", help="Take the event from this file; - is stdin.")
    ] = None,
) -> None:
    """Change the event of a dead letter: in $EDITOR, or from a file. Then redrive it.

    Example: `busway dead edit orders/2/4711 --file event.json`
    """
    places = _places(call, name)
    if len(places) > 1:
        several = ", ".join(map(_text_of, places))
        raise BuswayError(f"{name!r} is several: {several}; name one by its place")
    place = places[0]
    answer: ApiAnswer[DeadLetterDetail] = call.run(show_dead, place)
    text = _edited(answer.value) if file is None else _text(file)
    if text is None:
        echo("Nothing was changed.")
        return
    request = EditDead(
        flow=place.flow, partition=place.partition, offset=place.offset, event=_compact(text)
    )
    changed = call.run(edit_dead, request, match=answer.etag)
    if call.json:
        changed.print()
    else:
        where = _text_of(place)
        echo(f"{where} is edited; `busway dead redrive {where}` gives it to its flow")


@api_command("dead stop")
def stop_command(call: Call, job: JobArgument) -> None:
    """Stop a job on dead letters where it is; `busway jobs` lists them.

    Example: `busway dead stop 01958f7e-2c00-7000-8000-000000000000`
    """
    _print_job(call, call.run(stop_job, JobId(id=job)))


@api_command("dead resume")
def resume_command(call: Call, job: JobArgument) -> None:
    """Resume a stopped or failed job.

    Example: `busway dead resume 01958f7e-2c00-7000-8000-000000000000`
    """
    _print_job(call, call.run(resume_job, JobId(id=job)))


def _print_job(call: Call, answer: ApiAnswer[Any]) -> None:
    if call.json:
        answer.print()
    else:
        print_job.show(call, answer.value)


def _nothing(call: Call, selection: DeadLetterSelection) -> str:
    """Return that there is nothing, and how many parked events there are instead."""
    if selection.state == "parked":
        return "No parked events."
    if selection.where:
        return "No dead letters."
    given = msgspec.structs.asdict(selection) | {"state": "parked"}
    groups = call.run(list_groups, ListGroups(limit=1_000, **given)).value.items
    count = sum(cause.count for cause in groups)
    return f"No dead letters; {count:,} parked (--parked)." if count else "No dead letters."


def _places(call: Call, name: str) -> Sequence[DeadLetterPlace]:
    """Return the places of the dead letters called ``name``; raises :class:`NotFound` for none."""
    parsed = parse_place(name)
    if parsed is not None:
        place = DeadLetterPlace(flow=parsed[0], partition=parsed[1], offset=parsed[2])
        if _exists(call, place):
            return [place]
    found = [
        _place_of(letter)
        for state in ("dead", "parked")
        for letter in call.items_of(
            list_dead, ListDead(selection=DeadLetterSelection(state=state, id=name))
        )
    ]
    if not found:
        raise NotFound(f"there is no dead letter {name!r}; `busway dead list` shows them")
    return found


def _exists(call: Call, place: DeadLetterPlace) -> bool:
    try:
        call.run(show_dead, place)
    except ProblemError as error:
        if error.status != 404:
            raise
        return False
    return True


def _place_of(letter: DeadLetter) -> DeadLetterPlace:
    return DeadLetterPlace(flow=letter.flow, partition=letter.partition, offset=letter.offset)


def _text_of(place: DeadLetterPlace) -> str:
    return f"{place.flow}/{place.partition}/{place.offset}"


def _edited(letter: DeadLetterDetail) -> str | None:
    shown = msgspec.json.format(bytes(letter.event), indent=2).decode()
    return edit_text(f"{shown}\n", ".json")


def _text(file: str) -> str:
    return sys.stdin.read() if file == "-" else read_text(Path(file))


def _compact(text: str) -> msgspec.Raw:
    """Return JSON on one line, its numbers as they were written."""
    try:
        msgspec.json.decode(text)
        return msgspec.Raw(msgspec.json.format(text.encode(), indent=-1))
    except (msgspec.MsgspecError, UnicodeEncodeError) as error:
        raise BuswayError(f"the event is not valid JSON: {error}") from error
