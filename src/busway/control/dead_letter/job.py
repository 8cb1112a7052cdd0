"""Jobs on dead letters: work a whole selection page by page, each dead letter once."""

from __future__ import annotations

import msgspec
from msgspec import Raw

from busway.clock import new_id
from busway.control.context import ControlContext
from busway.control.dead_letter.command import (
    DeadLetterAction,
    DeadLetterCommand,
    SkippedDeadLetter,
    audit_refused,
    command_audits,
    plan_command,
)
from busway.control.dead_letter.patch import Patch, load_patch, patch_run_audit
from busway.control.dead_letter.selection import (
    DeadLetterSelection,
    count_dead_letters,
    select_dead_letters,
)
from busway.control.job import Job, create_job, is_same_job, job_replacement
from busway.control.job import job as job_of
from busway.delivery.rate import Rate
from busway.failed_event import FailedEvent
from busway.lane import EventRef

PAGE_SIZE = 500
"""The largest number of dead letters in one transaction."""
DEAD_LETTER_JOB_KINDS: tuple[DeadLetterAction, ...] = ("redrive", "patch", "discard")
_MAX_FAILURES = 20


class DeadLetterJobSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The request of a job on dead letters."""

    selection: DeadLetterSelection
    patch: str | None = None
    reason: str = ""


class DeadLetterJobProgress(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The progress of a job on dead letters, which continues behind ``after``.

    The patch edited ``changed`` dead letters and failed for ``failed`` (``failures`` has the first
    of them); ``skipped`` were left unchanged because they were changed concurrently.
    """

    after: EventRef | None = None
    changed: int = 0
    failed: int = 0
    skipped: int = 0
    failures: tuple[SkippedDeadLetter, ...] = ()


async def begin_dead_letter_job(
    control: ControlContext,
    action: DeadLetterAction,
    spec: DeadLetterJobSpec,
    actor: str,
    rate: str | None = None,
) -> Job:
    """Create a job on all dead letters of a selection; a worker runs it.

    Raises :class:`BuswayError` for an invalid ``where``, patch or rate.
    """
    spec.selection.check()
    if rate is not None:
        Rate.parse(rate)
    at = control.clock.now()
    if spec.patch is not None:
        audit = patch_run_audit(spec.patch, at, actor, spec.selection, spec.reason)
        await control.ledger.change_values([], [audit])
        await load_patch(spec.patch)
    job = Job(
        id=new_id(),
        kind=action,
        flow=spec.selection.flow or "",
        actor=actor,
        created_at=at,
        changed_at=at,
        rate=rate,
        total=await count_dead_letters(control.ledger, spec.selection.before(at)),
        spec=Raw(msgspec.json.encode(spec)),
    )
    await create_job(control.ledger, job)
    control.wake()
    return job


def rename_job_flow(job: Job, flow: str) -> Job:
    """Return the job of a renamed flow: it continues with the same dead letters."""
    after = msgspec.structs.replace(job, flow=flow)
    if job.kind not in DEAD_LETTER_JOB_KINDS:
        return after
    spec = msgspec.json.decode(job.spec, type=DeadLetterJobSpec)
    progress = msgspec.json.decode(job.progress, type=DeadLetterJobProgress)
    selection = msgspec.structs.replace(spec.selection, flow=flow)
    before = progress.after
    place = None if before is None else EventRef(flow, before.partition, before.offset)
    return msgspec.structs.replace(
        after,
        spec=Raw(msgspec.json.encode(msgspec.structs.replace(spec, selection=selection))),
        progress=Raw(msgspec.json.encode(msgspec.structs.replace(progress, after=place))),
    )


async def load_job_patch(job: Job) -> Patch | None:
    """Return the loaded patch of a job, ``None`` if it has none."""
    source = msgspec.json.decode(job.spec, type=DeadLetterJobSpec).patch
    return None if source is None else await load_patch(source)


async def work_page(
    control: ControlContext, job: Job, patch: Patch | None, limit: int
) -> Job | None:
    """Work up to ``limit`` dead letters of a job; return the updated job.

    The page and the progress of the job are one transaction. Returns ``None`` if the job was
    changed concurrently; then nothing was done.
    """
    spec = msgspec.json.decode(job.spec, type=DeadLetterJobSpec)
    progress = msgspec.json.decode(job.progress, type=DeadLetterJobProgress)
    selection, at = spec.selection.before(job.created_at), control.clock.now()
    page = await select_dead_letters(
        control.ledger, selection, progress.after, min(limit, PAGE_SIZE)
    )
    dead_letters = [event for event in page.failed_events if not _came_back(event, job)]
    command = DeadLetterCommand(
        action=_action_of(job), actor=job.actor, reason=spec.reason, patch=spec.patch
    )
    plan = await plan_command(control.ledger, dead_letters, command, (patch, at))
    advanced = msgspec.structs.replace(
        progress,
        after=page.after or progress.after,
        changed=progress.changed + plan.changed,
        failed=progress.failed + len(plan.skipped),
        failures=(*progress.failures, *plan.skipped)[:_MAX_FAILURES],
    )
    after = msgspec.structs.replace(
        job,
        state="done" if page.after is None else "running",
        done=job.done + len(plan.resolutions),
        changed_at=at,
        progress=Raw(msgspec.json.encode(advanced)),
    )
    resolutions = [*plan.resolutions, *plan.held_back]
    audits = command_audits(plan, command, at, job.id)
    applied = await control.ledger.resolve(resolutions, audits, [job_replacement(job, after)])
    if not any(applied) and not is_same_job(await job_of(control.ledger, job.id), after):
        return None
    refused = await audit_refused(control.ledger, plan, applied, command, at)
    return await _uncount_refused(control, after, len(refused)) if refused else after


async def _uncount_refused(control: ControlContext, job: Job, refused: int) -> Job:
    """Subtract the refused dead letters from those that are done."""
    progress = msgspec.json.decode(job.progress, type=DeadLetterJobProgress)
    corrected = msgspec.structs.replace(progress, skipped=progress.skipped + refused)
    after = msgspec.structs.replace(
        job, done=job.done - refused, progress=Raw(msgspec.json.encode(corrected))
    )
    return after if await control.ledger.change_values([job_replacement(job, after)]) else job


def _came_back(dead_letter: FailedEvent, job: Job) -> bool:
    """Return whether a dead letter failed after the job began, for example once it was redriven."""
    return bool(dead_letter.failures) and dead_letter.failures[-1].at > job.created_at


def _action_of(job: Job) -> DeadLetterAction:
    return next(kind for kind in DEAD_LETTER_JOB_KINDS if kind == job.kind)
