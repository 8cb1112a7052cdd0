"""``busway jobs``: what goes on in the background."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from busway.cli.ask import segment
from busway.cli.call import Answer, Call, calling
from busway.cli.show import as_json, as_table, echo
from busway.control.job import Job

app = typer.Typer(invoke_without_command=True)

Id = Annotated[str, typer.Argument(help="The job's id.")]


@app.callback()
@calling
def list_command(call: Call, context: typer.Context) -> None:
    """List the jobs, the latest first: redrives, patches, discards and replays.

    Example: `busway jobs --json`
    """
    if context.invoked_subcommand is not None:
        return
    found = call.items("/jobs", Job)
    if call.json:
        as_json({"items": found})
    elif not found:
        echo("No jobs.")
    else:
        _table(found)


@app.command("show")
@calling
def show_command(call: Call, id: Id) -> None:
    """Show a job: what was asked for, and how far it is.

    Example: `busway jobs show 01958f7e-2c00-7000-8000-000000000000 --json`
    """
    print_job(call, call.get(f"/jobs/{segment('job', id)}"))


@app.command("stop")
@calling
def stop_command(call: Call, id: Id) -> None:
    """Stop a job where it is.

    Example: `busway jobs stop 01958f7e-2c00-7000-8000-000000000000`
    """
    print_job(call, call.post(f"/jobs/{segment('job', id)}/stop"))


@app.command("resume")
@calling
def resume_command(call: Call, id: Id) -> None:
    """Let a stopped or failed job go on.

    Example: `busway jobs resume 01958f7e-2c00-7000-8000-000000000000`
    """
    print_job(call, call.post(f"/jobs/{segment('job', id)}/resume"))


def print_job(call: Call, answer: Answer) -> None:
    """Print a job that the API answered with."""
    if call.json:
        answer.print()
    else:
        _table([answer.read(Job)])


def _table(found: Sequence[Job]) -> None:
    rows = [
        (
            one.id,
            one.kind,
            one.flow or "-",
            one.state,
            _how_far(one),
            one.rate or "-",
            one.who,
            one.error,
        )
        for one in found
    ]
    as_table(("job", "kind", "flow", "state", "done", "rate", "who", ""), rows)


def _how_far(job: Job) -> str:
    return f"{job.done:,}" if job.total is None else f"{job.done:,} of {job.total:,}"
