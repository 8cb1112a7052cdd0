"""``busway jobs``: work in the background: redrives, patches, discards and replays."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import msgspec
from msgspec import Raw

from busway.control.field import argument, option
from busway.control.job import Job, JobKind, JobState, job, jobs, set_job_state
from busway.control.operation import OperationContext, http, operation
from busway.control.page import Page, PageRequest, page_after

_AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
_JOB = Job(
    id="01958f7e-2c00-7000-8000-000000000000",
    kind="redrive",
    flow="orders",
    actor="ann@ops",
    created_at=_AT,
    changed_at=_AT,
    rate="1000/s",
    done=12_500,
    total=100_000,
    spec=Raw(b'{"selection":{"flow":"orders"}}'),
)


class ListJobs(PageRequest, frozen=True, kw_only=True):
    """Which jobs to list."""

    kind: Annotated[JobKind | None, option("Only jobs of this kind.")] = None


class JobId(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which job is meant."""

    id: Annotated[str, argument("The job's id.")]


_ID = JobId(id=_JOB.id)


@operation(
    http("GET", "/jobs", tag="jobs"), command="jobs", summary="List jobs", result=Page([_JOB])
)
async def list_jobs(context: OperationContext, request: ListJobs) -> Page[Job]:
    """List the jobs, the latest first: redrives, patches, replays, discards."""
    found = await jobs(context.control.ledger, request.kind)
    return page_after(found, request, _key, tuple[datetime, str], descending=True)


@operation(
    http("GET", "/jobs/{id}", tag="jobs"),
    command="jobs show",
    summary="Show a job",
    request=_ID,
    result=_JOB,
)
async def show_job(context: OperationContext, request: JobId) -> Job:
    """Show a job: what was asked for, and its progress."""
    return await job(context.control.ledger, request.id)


@operation(
    http("POST", "/jobs/{id}/stop", tag="jobs"),
    command="jobs stop",
    summary="Stop a job",
    request=_ID,
    result=_JOB,
)
async def stop_job(context: OperationContext, request: JobId) -> Job:
    """Stop a job; it can be resumed. A job that is done stays as it is."""
    return await _set(context, request, "stopped")


@operation(
    http("POST", "/jobs/{id}/resume", tag="jobs"),
    command="jobs resume",
    summary="Resume a job",
    request=_ID,
    result=_JOB,
)
async def resume_job(context: OperationContext, request: JobId) -> Job:
    """Resume a stopped or failed job where it was."""
    return await _set(context, request, "running")


async def _set(context: OperationContext, request: JobId, state: JobState) -> Job:
    control = context.control
    found = await set_job_state(
        control.ledger, request.id, state, context.actor, control.clock.now()
    )
    control.wake()
    return found


def _key(job: Job) -> tuple[datetime, str]:
    return (job.created_at, job.id)
