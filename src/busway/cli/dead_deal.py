"""Commands that do something with dead letters: few at once, many as a job on the server."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from busway.cli.ask import segment
from busway.cli.call import Answer, Call, calling
from busway.cli.command.job import print_job
from busway.cli.dead_filter import Deal, check_flow, dealing, patching
from busway.cli.show import as_json, echo, echo_lines
from busway.control.dead_letter.command import SkippedDeadLetter
from busway.control.dead_letter.patch import PatchPreview
from busway.control.job import Job
from busway.errors import BuswayError

Patch = Annotated[
    Path | None, typer.Option("--patch", help="A Python file with def patch(event), done before.")
]
File = Annotated[Path, typer.Argument(help="A Python file with def patch(event).")]
Apply = Annotated[bool, typer.Option("--apply", help="Change them; else only show it.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
_SHOWN = typer.Option("--show", help="How many changes to show.")


class _Taken(msgspec.Struct):
    done: int
    changed: int
    left: tuple[SkippedDeadLetter, ...]
    job: Job | None
    served: bool


class _Tried(msgspec.Struct):
    items: list[PatchPreview]
    changed: int
    unchanged: int
    failed: int
    next: str | None


@calling
@dealing
def redrive(call: Call, deal: Deal, patch: Patch = None) -> None:
    """Give dead letters to their flow again, with all attempts anew.

    Named ones at once; those of a filter as a job, which goes on when this command has ended.

    Example: `busway dead redrive --fingerprint 5b1f0c9d2e7a --rate 100/s`
    """
    body = deal.body if patch is None else deal.body | {"patch": _source(patch)}
    check_flow(call, deal.selection)
    _tell(call, call.post("/dead/redrive", body), "redriven", deal.wait)


@calling
@dealing
def discard(call: Call, deal: Deal, yes: Yes = False) -> None:
    """Give dead letters up for good, for a reason.

    On a terminal it asks before it discards more than the named ones. Without a terminal, --all
    needs --yes.

    Example: `busway dead discard orders/2/4711 --reason "a test order"`
    """
    check_flow(call, deal.selection)
    if "selection" in deal.body and deal.body["reason"].strip() and not yes:
        _confirm(call, deal)
    _tell(call, call.post("/dead/discard", deal.body), "discarded", deal.wait)


@calling
@patching
def patch(
    call: Call, deal: Deal, file: File, apply: Apply = False, shown: Annotated[int, _SHOWN] = 20
) -> None:
    """Show what a Python function would change of dead letters; with --apply, change them.

    The function gets an event and returns its new data, an event, or None to leave it.

    Example: `busway dead patch mend.py --fingerprint 5b1f0c9d2e7a`
    """
    check_flow(call, deal.selection)
    source = _source(file)
    if apply:
        answer = call.post("/dead/patch", deal.body | {"patch": source})
        _tell(call, answer, "changed", deal.wait)
        return
    found = _preview(call, deal.selection, source, shown)
    if call.json:
        as_json(found)
    else:
        _print_preview(found)


@calling
def stop(call: Call, job: Annotated[str, typer.Argument(help="The job's id.")]) -> None:
    """Stop a job on dead letters where it is; see them with `busway jobs`.

    Example: `busway dead stop 01958f7e-2c00-7000-8000-000000000000`
    """
    _show_job(call, call.post(f"/jobs/{segment('job', job)}/stop"))


@calling
def resume(call: Call, job: Annotated[str, typer.Argument(help="The job's id.")]) -> None:
    """Let a stopped or failed job go on.

    Example: `busway dead resume 01958f7e-2c00-7000-8000-000000000000`
    """
    _show_job(call, call.post(f"/jobs/{segment('job', job)}/resume"))


def _show_job(call: Call, answer: Answer[Any]) -> None:
    if call.json:
        answer.print()
    else:
        print_job.show(call, answer.read(Job))


class _Group(msgspec.Struct):
    count: int


class _Groups(msgspec.Struct):
    items: list[_Group]


def _confirm(call: Call, deal: Deal) -> None:
    """Ask whether all of a selection is to be discarded; without a terminal refuse `--all`."""
    terminal = sys.stdin.isatty() and sys.stderr.isatty()
    if not terminal and not deal.every:
        return
    what = _counted(call, deal)
    if not terminal:
        raise BuswayError(
            f"this discards {what} for good, and there is no terminal to ask;"
            " add --yes, or name fewer (--flow, --fingerprint, event ids)"
        )
    if not typer.confirm(f"Discard {what} for good?", err=True):
        raise BuswayError("nothing was discarded")


def _counted(call: Call, deal: Deal) -> str:
    selection = {"state": "dead"} | deal.selection
    what = "dead letters" if selection["state"] == "dead" else "parked events"
    if "where" in selection:
        return f"all {what} that match"
    groups = call.get("/dead/groups", limit=1_000, **selection).read(_Groups).items
    count = sum(one.count for one in groups)
    more = "at least " if len(groups) == 1_000 else ""
    return f"{more}{count:,} {what[:-1] if count == 1 else what}"


def _source(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BuswayError(f"{file} cannot be read: {error}") from error


def _preview(call: Call, selection: Any, source: str, shown: int) -> _Tried:
    """Return the counts over all letters, and those of them first that are not left as they are."""
    total = _Tried([], 0, 0, 0, None)
    cursor: str | None = None
    while True:
        body = {"selection": selection, "patch": source, "limit": 500, "cursor": cursor}
        page = call.post("/dead/preview", body).read(_Tried)
        kept = [one for one in page.items if one.effect != "unchanged"]
        total.items += kept[: shown - len(total.items)]
        total.changed += page.changed
        total.unchanged += page.unchanged
        total.failed += page.failed
        cursor = page.next
        if cursor is None:
            return total


def _print_preview(found: _Tried) -> None:
    for one in found.items:
        echo_lines(one.diff if one.effect == "changed" else f"{one.place}: {one.error}")
    counts = f"{found.changed:,} changed, {found.unchanged:,} unchanged, {found.failed:,} failed"
    echo(f"{counts}. Nothing is changed yet: --apply does it.")


def _tell(call: Call, answer: Answer[Any], what: str, wait: bool) -> None:
    taken = answer.read(_Taken)
    job = _waited(call, taken.job) if wait and taken.job and taken.served else taken.job
    if call.json:
        as_json(msgspec.structs.replace(taken, job=job))
        return
    if job is None:
        echo(f"{taken.done:,} {what}")
        for one in taken.left:
            echo(f"left: {one.place}: {one.error}")
    elif job.state == "running":
        total = "" if job.total is None else f"{job.total:,} letters, "
        echo(f"job {job.id}: {total}{job.rate or 'as fast as it goes'}")
        if not taken.served:
            echo("no server runs on this data: it begins when one does")
    else:
        echo(f"{job.done:,} {what} (job {job.id} is {job.state}) {job.error}".rstrip())


def _waited(call: Call, job: Job) -> Job:
    return next(one for one in call.polled(f"/jobs/{job.id}", Job) if one.state != "running")
