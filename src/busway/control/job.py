"""Jobs: long-running work in the background that can be stopped and resumed.

::

    running ──its work is done──► done
       │  ▲ ╲──it cannot go on──► failed
     stop  resume                   │
       ▼  │                         │
    stopped ◄───────────────────────┘ (resume: running)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Literal

import msgspec
from msgspec import Raw

from busway.audit_record import AuditRecord
from busway.errors import NotFound
from busway.named_value import ValueChange
from busway.ports import Ledger

JOB = "job/"
JobKind = Literal["redrive", "patch", "discard", "replay"]
JobState = Literal["running", "stopped", "done", "failed"]


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A job and its state. It has worked ``done`` of ``total`` events (``None``: not counted).

    ``spec`` is the request and ``progress`` the position to continue from, both in the form of its
    ``kind``. ``rate`` is like ``"100/s"``.
    """

    id: str
    kind: JobKind
    flow: str
    actor: str
    created_at: datetime
    changed_at: datetime
    state: JobState = "running"
    rate: str | None = None
    done: int = 0
    total: int | None = None
    error: str = ""
    spec: Raw = msgspec.field(default_factory=lambda: Raw(b"{}"))
    progress: Raw = msgspec.field(default_factory=lambda: Raw(b"{}"))


async def jobs(ledger: Ledger, kind: JobKind | None = None) -> Sequence[Job]:
    """Return the jobs, of one kind or of all, the latest first."""
    all_jobs = [_decoded(value) for value in (await ledger.get_values(JOB)).values()]
    all_jobs.sort(key=lambda job: (job.created_at, job.id), reverse=True)
    return [job for job in all_jobs if kind in (None, job.kind)]


async def job(ledger: Ledger, id: str) -> Job:
    """Return a job. Raises :class:`NotFound` if there is none."""
    value = (await ledger.get_values(JOB + id)).get(JOB + id)
    if value is None:
        raise NotFound(f"there is no job {id!r}; `busway jobs` shows them")
    return _decoded(value)


async def create_job(ledger: Ledger, new_job: Job) -> Job:
    """Store a new job; a worker that runs jobs picks it up."""
    audit = AuditRecord(
        new_job.created_at,
        new_job.actor,
        f"{new_job.kind} begin",
        _audit_target(new_job),
        after=new_job.spec,
    )
    await ledger.change_values(
        [ValueChange(JOB + new_job.id, _encoded(new_job), expected=None)], [audit]
    )
    return new_job


async def set_job_state(ledger: Ledger, id: str, state: JobState, actor: str, at: datetime) -> Job:
    """Stop a job, or resume a stopped or failed one; a job that is done stays unchanged."""
    before = await job(ledger, id)
    if before.state in ("done", state):
        return before
    audit = AuditRecord(
        at,
        actor,
        f"{before.kind} {'resume' if state == 'running' else 'stop'}",
        _audit_target(before),
        Raw(msgspec.json.encode(before.state)),
        Raw(msgspec.json.encode(state)),
    )

    def changed(current: Job) -> Job:
        return (
            current
            if current.state == "done"
            else msgspec.structs.replace(current, state=state, changed_at=at)
        )

    return await update_job(ledger, id, changed, [audit])


async def update_job(
    ledger: Ledger, id: str, change: Callable[[Job], Job], audit: Sequence[AuditRecord] = ()
) -> Job:
    """Change a job atomically, retrying on concurrent changes; return the changed job."""
    while True:
        before = await job(ledger, id)
        after = change(before)
        if await ledger.change_values([job_replacement(before, after)], audit):
            return after


def job_change(job: Job) -> ValueChange:
    """Return the change that stores a job unconditionally, to be made with a settlement."""
    return ValueChange(JOB + job.id, _encoded(job))


def job_replacement(before: Job, after: Job) -> ValueChange:
    """Return the change that replaces a job, refused if the job has changed since it was read."""
    return ValueChange(JOB + before.id, _encoded(after), expected=_encoded(before))


def is_same_job(job: Job, other: Job) -> bool:
    """Return whether two records of a job are equal, including their raw JSON."""
    return _encoded(job) == _encoded(other)


def _audit_target(job: Job) -> str:
    return f"job/{job.id}"


_encoded = msgspec.json.Encoder().encode
_decoded = msgspec.json.Decoder(Job).decode
