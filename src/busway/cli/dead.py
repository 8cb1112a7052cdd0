"""``busway dead``: list, show, redrive and discard dead letters."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
import typer

from busway.cli.place import Data, Json, with_stores
from busway.cli.show import as_json, as_table
from busway.control import dead
from busway.errors import BuswayError
from busway.lane import Trouble
from busway.ports import Stores

app = typer.Typer(no_args_is_help=True, help="Dead letters: list, show, redrive, discard.")

Flow = Annotated[str | None, typer.Option("--flow", help="Only of this flow.")]
Names = Annotated[
    list[str] | None, typer.Argument(metavar="EVENT…", help="Event ids, or flow/partition/offset.")
]
All = Annotated[bool, typer.Option("--all", help="Every one, or every one of --flow.")]
EVERY = 1_000_000_000


@app.command("list")
def list_command(
    flow: Flow = None,
    limit: Annotated[int, typer.Option(help="At most so many.")] = 100,
    data: Data = None,
    json: Json = False,
) -> None:
    """List dead letters.

    Example: `busway dead list --flow orders`
    """
    letters = with_stores(data, lambda stores: dead.dead_letters(stores.ledger, flow, limit))
    if json:
        as_json({"dead": [_summary(one) for one in letters]})
        return
    if not letters:
        typer.echo("No dead letters.")
        return
    rows = [
        (dead.place_of(one), one.event_id, one.attempts, f"{one.since:%F %T}", _error(one))
        for one in letters
    ]
    as_table(("place", "event", "attempts", "since", "error"), rows)


@app.command("show")
def show_command(name: str, data: Data = None, json: Json = False) -> None:
    """Show a dead letter whole: its payload, its error and every attempt.

    Example: `busway dead show 4711`
    """
    letters = with_stores(data, lambda stores: dead.find(stores.ledger, name))
    if json:
        as_json({"dead": [_whole(one) for one in letters]})
        return
    for letter in letters:
        _print_whole(letter)


@app.command("redrive")
def redrive_command(
    names: Names = None,
    flow: Flow = None,
    every: All = False,
    data: Data = None,
    json: Json = False,
) -> None:
    """Give dead letters to their flow again, with all attempts anew.

    Example: `busway dead redrive --flow orders --all`
    """

    async def work(stores: Stores) -> int:
        letters = await _chosen(stores, names, flow, every)
        return await dead.redrive(stores.ledger, letters, datetime.now(UTC))

    _tell("redriven", with_stores(data, work), json)


@app.command("discard")
def discard_command(
    names: Names = None,
    flow: Flow = None,
    every: All = False,
    data: Data = None,
    json: Json = False,
) -> None:
    """Give dead letters up for good.

    Example: `busway dead discard orders/2/4711`
    """

    async def work(stores: Stores) -> int:
        letters = await _chosen(stores, names, flow, every)
        return await dead.discard(stores.ledger, letters, datetime.now(UTC))

    _tell("discarded", with_stores(data, work), json)


async def _chosen(
    stores: Stores, names: list[str] | None, flow: str | None, every: bool
) -> Sequence[Trouble]:
    if bool(names) == every:
        raise BuswayError("say which: event ids, or --all (with --flow for one flow's)")
    if every:
        return await dead.dead_letters(stores.ledger, flow, EVERY)
    return [one for name in names or () for one in await dead.find(stores.ledger, name)]


def _tell(what: str, count: int, json: bool) -> None:
    if json:
        as_json({what: count})
    else:
        typer.echo(f"{count:,} {what}")


def _error(letter: Trouble) -> str:
    return f"{letter.failures[-1].error}: {letter.failures[-1].reason}" if letter.failures else ""


def _summary(letter: Trouble) -> dict[str, Any]:
    return {
        "place": dead.place_of(letter),
        "flow": letter.flow,
        "partition": letter.partition,
        "offset": letter.offset,
        "id": letter.event_id,
        "attempts": letter.attempts,
        "since": letter.since,
        "error": _error(letter),
    }


def _whole(letter: Trouble) -> dict[str, Any]:
    failures = [msgspec.structs.asdict(failure) for failure in letter.failures]
    return _summary(letter) | {"event": msgspec.Raw(letter.event), "failures": failures}


def _print_whole(letter: Trouble) -> None:
    typer.echo(f"{dead.place_of(letter)}  {letter.event_id}  since {letter.since:%F %T}")
    typer.echo(msgspec.json.format(letter.event, indent=2).decode())
    for failure in letter.failures:
        typer.echo(f"attempt {failure.attempt} at {failure.at:%F %T}, {failure.stage}: ", nl=False)
        typer.echo(f"{failure.error}: {failure.reason} (code {failure.version})")
    typer.echo(letter.failures[-1].traceback or "" if letter.failures else "", nl=False)
