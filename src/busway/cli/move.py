"""``busway move``: take an embedded installation to a cluster."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from busway.actor import Actor
from busway.cli.client import actor
from busway.cli.move_show import Shown, show_plan, show_report, shown
from busway.cli.show import as_error
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
    str, typer.Option("--ledger", metavar="URL", help="postgresql://… beside nats://….")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what there is to move.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, one document a line.")]


def move(
    from_: From, to: To, ledger: Ledger = "", dry_run: DryRun = False, json: Json = False
) -> None:
    """Move all of a data directory to PostgreSQL or JetStream.

    What was cut off goes on when it is called again. Exit code 0 when all is there and checked, 1
    when it is refused, 3 when it was cut off.

    Example: `busway move --from .busway --to postgresql://db.example.com/busway`
    """
    load_env_file(Path())
    settings = load_settings(engine=to, ledger=ledger, max_log_bytes=0)
    with shown(json) as show:
        try:
            found = asyncio.run(_moved(from_, settings, show, dry_run))
        except (StoreError, KeyboardInterrupt) as error:
            if dry_run or isinstance(error, _REFUSED):
                raise
            show.stop()
            as_error(_cut_off(error))
            raise typer.Exit(CUT_OFF) from error
    if isinstance(found, MoveReport):
        show_report(found, json)
        return
    show_plan(found, json)
    if found.target == "refused":
        raise typer.Exit(1)


async def _moved(
    path: Path, settings: Settings, show: Shown, dry_run: bool
) -> MoveReport | MovePlan:
    from busway.engine.move import open_origin, target_of  # noqa: PLC0415 - only here an engine

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
        f"{reason}; the move is not finished, and nothing is lost: {more}give the same command"
        " again, and it goes on"
    )
