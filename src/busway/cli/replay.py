"""``busway replay``: give events of the log to a flow again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from busway.cli.ask import segment
from busway.cli.call import Call, calling
from busway.cli.replay_request import requesting
from busway.cli.show import as_json, as_table, echo
from busway.control.replay.count import ReplayCount
from busway.control.replay.operation import Replay, ReplayRequest

app = typer.Typer(
    no_args_is_help=True,
    help="Give events of the log to a flow again.\n\n"
    "Example: busway replay start orders --from 2h --dry-run",
)

Id = Annotated[str, typer.Argument(metavar="ID", help="The replay.")]
Follow = Annotated[bool, typer.Option("--follow", help="Show how far it is, until it ends.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say how many events, and do nothing.")]


@app.command("start")
@calling
@requesting
def start_command(
    call: Call, request: ReplayRequest, dry_run: DryRun = False, follow: Follow = False
) -> None:
    """Begin a replay of what the flow has passed until now; or count what it would do.

    What has landed already is skipped, unless with --force. With --follow the exit code is 1 when
    it failed.

    Example: `busway replay start orders --from 2h --dry-run`
    """
    if dry_run:
        _count(call, request)
        return
    answer = call.post("/replays", request)
    found = answer.read(Replay)
    if follow:
        _follow(call, found)
    elif call.json:
        answer.print()
    else:
        echo(f"Replay {found.id} has begun: {found.total:,} events to look at.")


def _count(call: Call, request: ReplayRequest) -> None:
    answer = call.post("/replays/count", request, patient=True)
    if call.json:
        answer.print()
        return
    found = answer.read(ReplayCount)
    landed = "?" if found.already_delivered is None else f"{found.already_delivered:,}"
    echo(f"{found.total:>12,} events in reach")
    echo(f"{found.selected:>12,} of them selected")
    echo(f"{landed:>12} of those have landed already")
    echo(f"{found.to_replay:>12,} would go through the flow")
    if found.note:
        echo(found.note)


@app.command("list")
@calling
def list_command(call: Call) -> None:
    """List replays, the latest first.

    Example: `busway replay list`
    """
    found = call.items("/replays", Replay)
    if call.json:
        as_json({"items": found})
    elif found:
        _table(found)
    else:
        echo("No replays.")


@app.command("show")
@calling
def show_command(call: Call, id: Id, follow: Follow = False) -> None:
    """Show a replay: how far it is, and what became of its events.

    Example: `busway replay show r7c01e5a9 --follow`
    """
    answer = call.get(f"/replays/{segment('replay', id)}")
    if follow:
        _follow(call, answer.read(Replay))
    elif call.json:
        answer.print()
    else:
        _show(answer.read(Replay))


@app.command("stop")
@calling
def stop_command(call: Call, id: Id) -> None:
    """Stop a replay where it is.

    Example: `busway replay stop r7c01e5a9`
    """
    _change(call, id, "stop")


@app.command("resume")
@calling
def resume_command(call: Call, id: Id) -> None:
    """Let a stopped or failed replay go on.

    Example: `busway replay resume r7c01e5a9`
    """
    _change(call, id, "resume")


@app.command("forget")
@calling
def forget_command(call: Call, id: Id) -> None:
    """Forget a replay that does not run and has no parked events or dead letters left.

    Example: `busway replay forget r7c01e5a9`
    """
    call.delete(f"/replays/{segment('replay', id)}")
    if call.json:
        as_json({"forgotten": id})
    else:
        echo(f"Replay {id} is forgotten.")


def _change(call: Call, id: str, what: str) -> None:
    answer = call.post(f"/replays/{segment('replay', id)}/{what}")
    if call.json:
        answer.print()
    else:
        _show(answer.read(Replay))


def _table(found: Sequence[Replay]) -> None:
    rows = [
        (one.id, one.flow, one.state, _percent(one), one.delivered, one.skipped, one.dead, one.note)
        for one in found
    ]
    as_table(("replay", "flow", "state", "done", "delivered", "skipped", "dead", ""), rows)


def _show(one: Replay) -> None:
    left = "" if one.remaining_s is None else f", about {one.remaining_s:,.0f} s left"
    echo(f"replay {one.id} of {one.flow}, by {one.actor}, at {one.created_at:%F %T}")
    echo(f"{one.state}: {one.done:,} of {one.total:,} events ({_percent(one)}){left}")
    if one.note:
        echo(one.note)
    columns = ("delivered", "skipped", "filtered", "parked", "dead")
    discarded = one.discarded - one.failed_again
    row = [*(getattr(one, column) for column in columns), discarded, one.failed_again]
    as_table((*columns, "discarded", "failed again"), [row])
    if one.failed_again:
        echo(
            f"{one.failed_again:,} failed again: they stay dead letters of the flow, with the new"
            f" attempts (busway dead list --flow {one.flow})"
        )


def _percent(one: Replay) -> str:
    return f"{100 * one.done // one.total if one.total else 100} %"


def _follow(call: Call, begun: Replay) -> None:
    found = _followed(call, begun, lambda one: None) if call.json else _with_bar(call, begun)
    if call.json:
        as_json(found)
    else:
        _show(found)
    raise typer.Exit(1 if found.state == "failed" else 0)


def _with_bar(call: Call, begun: Replay) -> Replay:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    left = TextColumn("{task.fields[left]}")
    with Progress(*columns, left, console=Console(stderr=True)) as bar:
        task = bar.add_task(f"replay {begun.id}", total=begun.total, left="")

        def tell(one: Replay) -> None:
            left = "" if one.remaining_s is None else f"{one.remaining_s:,.0f} s left"
            bar.update(task, completed=one.done, left=left)

        return _followed(call, begun, tell)


def _followed(call: Call, begun: Replay, tell: Callable[[Replay], None]) -> Replay:
    """Return the replay as it ended; ctrl-C ends the looking only."""
    found = begun
    try:
        for found in call.polled(f"/replays/{begun.id}", Replay):
            tell(found)
            if found.state != "running" or not call.client.live:
                break
    except KeyboardInterrupt:
        echo(f"It goes on: busway replay show {begun.id}", err=True)
    return found
