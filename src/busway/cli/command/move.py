"""``busway move``: move a data directory to the engine of a cluster."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from busway.actor import Actor
from busway.cli.client import actor
from busway.cli.command.move_print import (
    MoveProgress,
    move_progress,
    print_plan,
    print_report,
)
from busway.cli.operation_command import written_command
from busway.cli.output import print_error
from busway.clock import SystemClock
from busway.control.move.mover import MovePlan, Mover, MoveReport
from busway.errors import (
    BuswayError,
    StoreCorrupted,
    StoreError,
    StoreFull,
    StoreLocked,
    StoreMisconfigured,
    StoreMoved,
    StoreTooNew,
    StoreTooOld,
)
from busway.settings import Settings, load_env_file, load_settings

CUT_OFF = 3
_REFUSED = (
    StoreLocked,
    StoreMoved,
    StoreCorrupted,
    StoreTooNew,
    StoreTooOld,
    StoreMisconfigured,
)

From = Annotated[Path, typer.Option("--from", metavar="DIR", help="The data directory.")]
To = Annotated[str, typer.Option("--to", metavar="URL", help="postgresql://… or nats://….")]
Ledger = Annotated[
    str, typer.Option("--ledger", metavar="URL", help="postgresql://…, in addition to nats://….")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show what there is to move.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, a document in each line.")]


@written_command("move")
def move(
    from_: From, to: To, ledger: Ledger = "", dry_run: DryRun = False, json: Json = False
) -> None:
    """Move a data directory to PostgreSQL or JetStream.

    An interrupted move continues when the command is run again. The exit code is 0 if everything is
    moved and verified, 1 if the move is refused, 3 if it was interrupted.

    Example: `busway move --from .busway --to postgresql://db.example.com/busway`
    """
    load_env_file(Path())
    settings = load_settings(engine=to, ledger=ledger, max_log_bytes=0)
    with move_progress(json) as show:
        try:
            found = asyncio.run(_moved(from_, settings, show, dry_run))
        except (StoreError, KeyboardInterrupt) as error:
            if dry_run or isinstance(error, _REFUSED):
                raise
            show.stop()
            print_error(_cut_off(error))
            raise typer.Exit(CUT_OFF) from error
    if isinstance(found, MoveReport):
        print_report(found, json)
        return
    print_plan(found, json)
    if found.target == "refused":
        raise typer.Exit(1)


async def _moved(
    path: Path, settings: Settings, show: MoveProgress, dry_run: bool
) -> MoveReport | MovePlan:
    from busway.engine.move import open_origin, target_of  # noqa: PLC0415 - only to move

    target = target_of(settings)
    origin = await open_origin(path)
    try:
        mover = Mover(origin, target, SystemClock(), show.tell)
        return await (mover.plan() if dry_run else mover.move(Actor.of(actor()).name))
    finally:
        await origin.close()


def _cut_off(error: BaseException) -> BuswayError:
    reason = "it was stopped" if isinstance(error, KeyboardInterrupt) else str(error)
    more = "" if isinstance(error, StoreFull) else "when that works again, "
    return StoreError(
        f"{reason}; the move is not finished, and nothing is lost: {more}run the same command"
        " again, and it continues"
    )
