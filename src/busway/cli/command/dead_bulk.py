"""``busway dead redrive``, ``patch`` and ``discard``: few at once, many as a job on the server."""

from __future__ import annotations

import sys
from typing import Annotated, TypeVar

import msgspec
import typer

from busway.cli.call import ApiAnswer, Call
from busway.cli.operation_command import command_body
from busway.cli.output import echo, echo_lines, print_json
from busway.control.dead_letter.patch import PatchPreview
from busway.control.dead_letter.selection import DeadLetterSelection
from busway.control.job import Job
from busway.control.operation.dead import (
    BulkRequest,
    BulkResult,
    ListGroups,
    PatchDead,
    PatchTrial,
    PreviewPatch,
    RedriveDead,
    discard_dead,
    list_groups,
    patch_dead,
    preview_patch,
    redrive_dead,
)
from busway.control.operation.job import JobId, show_job
from busway.errors import BuswayError
from busway.lane import REPLAY_SEPARATOR

RequestT = TypeVar("RequestT", bound=BulkRequest)
Every = Annotated[bool, typer.Option("--all", help="All of them.")]
Wait = Annotated[bool, typer.Option("--wait", help="Return when the job has ended.")]
Apply = Annotated[bool, typer.Option("--apply", help="Change them; otherwise only show it.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Shown = Annotated[int, typer.Option("--show", help="Number of changes to show.")]


@command_body(redrive_dead)
def redrive(call: Call, request: RedriveDead, every: Every = False, wait: Wait = False) -> None:
    request = _checked(call, request, every)
    _print_result(call, call.run(redrive_dead, request), "redriven", wait)


@command_body(discard_dead)
def discard(
    call: Call,
    request: BulkRequest,
    every: Every = False,
    wait: Wait = False,
    yes: Yes = False,
) -> None:
    request = _checked(call, request, every)
    if request.selection is not None and request.reason.strip() and not yes:
        _confirm(call, request.selection, every)
    _print_result(call, call.run(discard_dead, request), "discarded", wait)


@command_body(patch_dead)
def patch(
    call: Call,
    request: PatchDead,
    every: Every = False,
    wait: Wait = False,
    apply: Apply = False,
    shown: Shown = 20,
) -> None:
    request = _checked(call, request, every)
    if apply:
        _print_result(call, call.run(patch_dead, request), "changed", wait)
        return
    trial = _preview(call, request, shown)
    if call.json:
        print_json(trial)
    else:
        _print_preview(trial)


def check_flow(call: Call, name: str | None) -> None:
    """Raise what the API says of a flow, or of a replay of one, that does not exist, with the
    likely one: otherwise nothing would be found, for no reason that is shown."""
    if name is None:
        return
    from busway.control.operation.flow import FlowName, show_flow  # noqa: PLC0415 - rarely used
    from busway.control.operation.replay import ReplayId, show_replay  # noqa: PLC0415

    flow, _, replay = name.partition(REPLAY_SEPARATOR)
    call.run(show_flow, FlowName(name=flow))
    if replay:
        call.run(show_replay, ReplayId(id=replay))


def _checked(call: Call, request: RequestT, every: bool) -> RequestT:
    """Return a request that names dead letters, or selects some or all of them."""
    selection = request.selection or DeadLetterSelection()
    is_filter = msgspec.structs.replace(selection, state="dead") != DeadLetterSelection()
    if bool(request.places) + (is_filter or every) != 1:
        raise BuswayError("give event ids, a filter like --flow, or --all")
    check_flow(call, selection.flow)
    return msgspec.structs.replace(request, selection=None if request.places else selection)


def _confirm(call: Call, selection: DeadLetterSelection, every: bool) -> None:
    """Ask whether all of a selection is to be discarded; without a terminal refuse `--all`."""
    terminal = sys.stdin.isatty() and sys.stderr.isatty()
    if not terminal and not every:
        return
    what = _counted(call, selection)
    if not terminal:
        raise BuswayError(
            f"this discards {what} for good, and there is no terminal to ask;"
            " add --yes, or name fewer (--flow, --fingerprint, event ids)"
        )
    if not typer.confirm(f"Discard {what} for good?", err=True):
        raise BuswayError("nothing was discarded")


def _counted(call: Call, selection: DeadLetterSelection) -> str:
    what = "dead letters" if selection.state == "dead" else "parked events"
    if selection.where:
        return f"all {what} that match"
    request = ListGroups(limit=1_000, **msgspec.structs.asdict(selection))
    groups = call.run(list_groups, request).value.items
    count = sum(cause.count for cause in groups)
    more = "at least " if len(groups) == 1_000 else ""
    return f"{more}{count:,} {what[:-1] if count == 1 else what}"


def _preview(call: Call, request: PatchDead, shown: int) -> PatchTrial:
    """Return the counts over all dead letters, and the first of them that change or fail."""
    items: list[PatchPreview] = []
    changed = unchanged = failed = 0
    trial = PreviewPatch(
        selection=request.selection or DeadLetterSelection(), patch=request.patch, limit=500
    )
    while True:
        page = call.run(preview_patch, trial).value
        items += [item for item in page.items if item.effect != "unchanged"]
        changed += page.changed
        unchanged += page.unchanged
        failed += page.failed
        if page.next is None:
            return PatchTrial(
                items=tuple(items[:shown]), changed=changed, unchanged=unchanged, failed=failed
            )
        trial = msgspec.structs.replace(trial, cursor=page.next)
        del items[shown:]


def _print_preview(trial: PatchTrial) -> None:
    for item in trial.items:
        echo_lines(item.diff if item.effect == "changed" else f"{item.place}: {item.error}")
    counts = f"{trial.changed:,} changed, {trial.unchanged:,} unchanged, {trial.failed:,} failed"
    echo(f"{counts}. Nothing is changed yet: --apply does it.")


def _print_result(call: Call, answer: ApiAnswer[BulkResult], what: str, wait: bool) -> None:
    result = answer.value
    job = _wait_for_job(call, result.job) if wait and result.job and result.served else result.job
    if call.json:
        print_json(msgspec.structs.replace(result, job=job))
    elif job is None:
        echo(f"{result.done:,} {what}")
        for refusal in result.left:
            echo(f"left: {refusal.place}: {refusal.error}")
    elif job.state == "running":
        total = "" if job.total is None else f"{job.total:,} dead letters, "
        echo(f"job {job.id}: {total}{job.rate or 'as fast as it goes'}")
        if not result.served:
            echo("no server runs on this data: it begins when one does")
    else:
        echo(f"{job.done:,} {what} (job {job.id} is {job.state}) {job.error}".rstrip())


def _wait_for_job(call: Call, job: Job) -> Job:
    states = call.poll(show_job, JobId(id=job.id))
    return next(state for state in states if state.state != "running")
