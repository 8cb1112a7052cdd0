"""``busway replay`` for people: the progress of replays, and ``--follow``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from busway.cli.call import Call
from busway.cli.command.replay_selection import selecting
from busway.cli.operation_command import command_body, result_view
from busway.cli.output import echo, print_json, print_table
from busway.control.operation.replay import (
    ReplayId,
    count_replay,
    forget_replay,
    list_replays,
    resume_replay,
    show_replay,
    start_replay,
    stop_replay,
)
from busway.control.replay.operation import Replay, ReplayRequest
from busway.delivery.replay import ReplaySelection

Follow = Annotated[bool, typer.Option("--follow", help="Show the progress until it ends.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only count the events.")]


@command_body(start_replay)
@selecting
def start_command(
    call: Call,
    request: ReplayRequest,
    select: ReplaySelection,
    dry_run: DryRun = False,
    follow: Follow = False,
) -> None:
    request = msgspec.structs.replace(request, select=select)
    if dry_run:
        _count(call, request)
        return
    answer = call.run(start_replay, request)
    replay = answer.value
    if follow:
        _follow(call, replay)
    elif call.json:
        answer.print()
    else:
        echo(f"Replay {replay.id} has begun: {replay.total:,} events to look at.")


@command_body(show_replay)
def show_command(call: Call, request: ReplayId, follow: Follow = False) -> None:
    answer = call.run(show_replay, request)
    if follow:
        _follow(call, answer.value)
    elif call.json:
        answer.print()
    else:
        _show(answer.value)


@result_view(stop_replay, resume_replay)
def print_replay(call: Call, replay: Replay) -> None:
    _show(replay)


@command_body(forget_replay)
def forget_command(call: Call, request: ReplayId) -> None:
    call.run(forget_replay, request)
    if call.json:
        print_json({"forgotten": request.id})
    else:
        echo(f"Replay {request.id} is forgotten.")


def _count(call: Call, request: ReplayRequest) -> None:
    answer = call.run(count_replay, request)
    if call.json:
        answer.print()
        return
    count = answer.value
    landed = "?" if count.already_delivered is None else f"{count.already_delivered:,}"
    echo(f"{count.total:>12,} events in reach")
    echo(f"{count.selected:>12,} of them selected")
    echo(f"{landed:>12} of those have landed already")
    echo(f"{count.to_replay:>12,} would go through the flow")
    if count.note:
        echo(count.note)


@result_view(list_replays)
def print_replays(call: Call, replays: Sequence[Replay]) -> None:
    rows = [
        (
            replay.id,
            replay.flow,
            replay.state,
            _percent(replay),
            replay.delivered,
            replay.skipped,
            replay.dead,
            replay.note,
        )
        for replay in replays
    ]
    print_table(("replay", "flow", "state", "done", "delivered", "skipped", "dead", ""), rows)


def _show(replay: Replay) -> None:
    left = "" if replay.remaining_s is None else f", about {replay.remaining_s:,.0f} s left"
    echo(f"replay {replay.id} of {replay.flow}, by {replay.actor}, at {replay.created_at:%F %T}")
    echo(f"{replay.state}: {replay.done:,} of {replay.total:,} events ({_percent(replay)}){left}")
    if replay.note:
        echo(replay.note)
    columns = ("delivered", "skipped", "filtered", "parked", "dead")
    discarded = replay.discarded - replay.failed_again
    row = [*(getattr(replay, column) for column in columns), discarded, replay.failed_again]
    print_table((*columns, "discarded", "failed again"), [row])
    if replay.failed_again:
        echo(
            f"{replay.failed_again:,} failed again: they stay dead letters of the flow, with the"
            f" new attempts (busway dead list --flow {replay.flow})"
        )


def _percent(replay: Replay) -> str:
    return f"{100 * replay.done // replay.total if replay.total else 100} %"


def _follow(call: Call, begun: Replay) -> None:
    found = _followed(call, begun, lambda replay: None) if call.json else _with_bar(call, begun)
    if call.json:
        print_json(found)
    else:
        _show(found)
    raise typer.Exit(1 if found.state == "failed" else 0)


def _with_bar(call: Call, begun: Replay) -> Replay:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    left = TextColumn("{task.fields[left]}")
    with Progress(*columns, left, console=Console(stderr=True)) as bar:
        task = bar.add_task(f"replay {begun.id}", total=begun.total, left="")

        def tell(replay: Replay) -> None:
            left = "" if replay.remaining_s is None else f"{replay.remaining_s:,.0f} s left"
            bar.update(task, completed=replay.done, left=left)

        return _followed(call, begun, tell)


def _followed(call: Call, begun: Replay, tell: Callable[[Replay], None]) -> Replay:
    """Return the replay as it ended; ctrl-C ends the looking only."""
    found = begun
    try:
        for found in call.poll(show_replay, ReplayId(id=begun.id)):
            tell(found)
            if found.state != "running" or not call.client.has_server:
                break
    except KeyboardInterrupt:
        echo(f"It goes on: busway replay show {begun.id}", err=True)
    return found
