"""``busway jobs`` for people."""

from __future__ import annotations

from collections.abc import Sequence

from busway.cli.call import Call
from busway.cli.operation_command import result_view
from busway.cli.output import print_table
from busway.control.job import Job
from busway.control.operation.job import list_jobs, resume_job, show_job, stop_job


@result_view(list_jobs)
def print_jobs(call: Call, jobs: Sequence[Job]) -> None:
    """Print jobs, one in a row."""
    rows = [
        (
            job.id,
            job.kind,
            job.flow or "-",
            job.state,
            _progress(job),
            job.rate or "-",
            job.actor,
            job.error,
        )
        for job in jobs
    ]
    print_table(("job", "kind", "flow", "state", "done", "rate", "who", ""), rows)


@result_view(show_job, resume_job, stop_job)
def print_job(call: Call, job: Job) -> None:
    """Print a job."""
    print_jobs.show(call, [job])


def _progress(job: Job) -> str:
    return f"{job.done:,}" if job.total is None else f"{job.done:,} of {job.total:,}"
