"""Jobs: what takes a while, goes on in the background, and can be stopped and resumed.

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

from busway.errors import NotFound
from busway.lane import Audit, Change
from busway.ports import Ledger

JOB = "job/"
Kind = Literal["redrive", "patch", "discard", "replay"]
State = Literal["running", "stopped", "done", "failed"]


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A job as it stands. ``done`` of ``total`` events (``None``: not counted) went through it.

    ``spec`` is what was asked for, in the words of its kind; ``progress`` is where its kind goes on
    after a restart. ``rate`` is like ``"100/s"``.
    """

    id: str
    kind: Kind
    flow: str
    who: str
    created_at: datetime
    changed_at: datetime
    state: State = "running"
    rate: str | None = None
    done: int = 0
    total: int | None = None
    error: str = ""
    spec: Raw = msgspec.field(default_factory=lambda: Raw(b"{}"))
    progress: Raw = msgspec.field(default_factory=lambda: Raw(b"{}"))


async def jobs(ledger: Ledger, kind: Kind | None = None) -> Sequence[Job]:
    """Return the jobs, of one kind or of all, the latest first."""
    found = [_decoded(value) for value in (await ledger.get(JOB)).values()]
    found.sort(key=lambda job: (job.created_at, job.id), reverse=True)
    return [job for job in found if kind in (None, job.kind)]


async def job(ledger: Ledger, id: str) -> Job:
    """Return a job. Raises :class:`NotFound` when there is none."""
    found = (await ledger.get(JOB + id)).get(JOB + id)
    if found is None:
        raise NotFound(f"there is no job {id!r}; `busway jobs` shows them")
    return _decoded(found)


async def begin(ledger: Ledger, made: Job) -> Job:
    """Keep a new job; whoever runs jobs takes it up."""
    audit = Audit(made.created_at, made.who, f"{made.kind} begin", _target(made), after=made.spec)
    await ledger.change([Change(JOB + made.id, _encoded(made), expected=None)], [audit])
    return made


async def set_state(ledger: Ledger, id: str, state: State, who: str, at: datetime) -> Job:
    """Stop a job, or let a stopped or failed one go on; a job that is done stays as it is."""
    before = await job(ledger, id)
    if before.state in ("done", state):
        return before
    audit = Audit(
        at,
        who,
        f"{before.kind} {'resume' if state == 'running' else 'stop'}",
        _target(before),
        Raw(msgspec.json.encode(before.state)),
        Raw(msgspec.json.encode(state)),
    )

    def changed(one: Job) -> Job:
        return (
            one if one.state == "done" else msgspec.structs.replace(one, state=state, changed_at=at)
        )

    return await alter(ledger, id, changed, [audit])


async def alter(
    ledger: Ledger, id: str, change: Callable[[Job], Job], audit: Sequence[Audit] = ()
) -> Job:
    """Change a job, whoever else changes it meanwhile; return what became of it."""
    while True:
        before = await job(ledger, id)
        after = change(before)
        if await ledger.change([replaced(before, after)], audit):
            return after


def changed(job: Job) -> Change:
    """Return the change that keeps a job as it is given, to be made with a settlement."""
    return Change(JOB + job.id, _encoded(job))


def replaced(before: Job, after: Job) -> Change:
    """Return the change from a job as it was read: refused when somebody else has changed it."""
    return Change(JOB + before.id, _encoded(after), expected=_encoded(before))


def same(one: Job, other: Job) -> bool:
    """Say whether two records of a job are equal, what they have as bare JSON included."""
    return _encoded(one) == _encoded(other)


def _target(job: Job) -> str:
    return f"job/{job.id}"


_encoded = msgspec.json.Encoder().encode
_decoded = msgspec.json.Decoder(Job).decode
