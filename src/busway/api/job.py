"""``/jobs``: what goes on in the background: redrives, patches, discards and replays."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from litestar import Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter
from msgspec import Raw

from busway.api.openapi import example
from busway.api.page import Cursor, Limit, Page, page_of, place_in
from busway.control.control import Control
from busway.control.job import Job, Kind, State, job, jobs, set_state

_AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
_JOB = Job(
    id="01958f7e-2c00-7000-8000-000000000000",
    kind="redrive",
    flow="orders",
    who="ann@ops",
    created_at=_AT,
    changed_at=_AT,
    rate="1000/s",
    done=12_500,
    total=100_000,
    spec=Raw(b'{"selection":{"flow":"orders"}}'),
)


@get("/", summary="List jobs", opt=example(Page([_JOB])))
async def list_jobs(
    control: NamedDependency[Control],
    kind: Annotated[Kind | None, QueryParameter(description="Of this kind.")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[Job]:
    """Return the jobs, the latest first."""
    found = await jobs(control.ledger, kind)
    if cursor:
        after = place_in(cursor, tuple[datetime, str])
        found = [one for one in found if _key(one) < after]
    return page_of(found[: limit + 1], limit, _key)


@get("/{id:str}", summary="Show a job", opt=example(_JOB))
async def show_job(control: NamedDependency[Control], id: FromPath[str]) -> Job:
    """Return a job: what it was asked for, and how far it is."""
    return await job(control.ledger, id)


@post("/{id:str}/stop", summary="Stop a job", status_code=200, opt=example(_JOB))
async def stop_job(
    control: NamedDependency[Control], id: FromPath[str], who: NamedDependency[str]
) -> Job:
    """Stop a job; it can be resumed. One that is done stays as it is."""
    return await _set(control, id, "stopped", who)


@post("/{id:str}/resume", summary="Resume a job", status_code=200, opt=example(_JOB))
async def resume_job(
    control: NamedDependency[Control], id: FromPath[str], who: NamedDependency[str]
) -> Job:
    """Let a stopped or failed job go on where it was."""
    return await _set(control, id, "running", who)


async def _set(control: Control, id: str, state: State, who: str) -> Job:
    found = await set_state(control.ledger, id, state, who, control.clock.now())
    control.wake()
    return found


def _key(one: Job) -> tuple[datetime, str]:
    return (one.created_at, one.id)


router = Router("/jobs", route_handlers=[list_jobs, show_job, stop_job, resume_job], tags=["jobs"])
