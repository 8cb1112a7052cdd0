"""Jobs on dead letters: a whole selection, page by page, once for each letter."""

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
from busway.delivery.throttle import Rate
from busway.failed_event import FailedEvent
from busway.lane import EventRef

PAGE_SIZE = 500
"""How many letters one transaction takes at most."""
DEAD_LETTER_JOB_KINDS: tuple[DeadLetterAction, ...] = ("redrive", "patch", "discard")
_MAX_FAILURES = 20


class DeadLetterJobSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a job on dead letters was asked to do."""

    selection: DeadLetterSelection
    patch: str | None = None
    reason: str = ""


class DeadLetterJobProgress(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far a job on dead letters is: behind ``after``.

    ``changed`` were edited by the patch, ``failed`` were left because of it (the first
    ``failures`` say why), ``skipped`` were left because they changed meanwhile.
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
    """Record a job on all dead letters of a selection; what serves the ledger works it.

    Raises :class:`BuswayError` for a ``where``, a patch or a rate that is none.
    """
    spec.selection.check()
    if rate is not None:
        Rate.parse(rate)
    at = control.clock.now()
    if spec.patch is not None:
        audit = patch_run_audit(spec.patch, at, actor, spec.selection, spec.reason)
        await control.ledger.change_values([], [audit])
        await load_patch(spec.patch)
    made = Job(
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
    await create_job(control.ledger, made)
    control.wake()
    return made


def rename_job_flow(job: Job, flow: str) -> Job:
    """Return a job of a flow that has another name now: it goes on with the same letters."""
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
    """Return the patch of a job, loaded, where it has one."""
    source = msgspec.json.decode(job.spec, type=DeadLetterJobSpec).patch
    return None if source is None else await load_patch(source)


async def work_page(
    control: ControlContext, job: Job, patch: Patch | None, limit: int
) -> Job | None:
    """Do what a job is about with up to ``limit`` letters; return the job as it is then.

    All of it is one transaction: a page is done and known to be done, or neither. ``None`` when the
    job was changed by somebody else; then nothing was done.
    """
    spec = msgspec.json.decode(job.spec, type=DeadLetterJobSpec)
    progress = msgspec.json.decode(job.progress, type=DeadLetterJobProgress)
    selection, at = spec.selection.before(job.created_at), control.clock.now()
    found = await select_dead_letters(
        control.ledger, selection, progress.after, min(limit, PAGE_SIZE)
    )
    letters = [one for one in found.failed_events if not _came_back(one, job)]
    order = DeadLetterCommand(
        action=_action_of(job), actor=job.actor, reason=spec.reason, patch=spec.patch
    )
    made = await plan_command(control.ledger, letters, order, (patch, at))
    moved = msgspec.structs.replace(
        progress,
        after=found.after or progress.after,
        changed=progress.changed + made.changed,
        failed=progress.failed + len(made.skipped),
        failures=(*progress.failures, *made.skipped)[:_MAX_FAILURES],
    )
    after = msgspec.structs.replace(
        job,
        state="done" if found.after is None else "running",
        done=job.done + len(made.resolutions),
        changed_at=at,
        progress=Raw(msgspec.json.encode(moved)),
    )
    resolutions = [*made.resolutions, *made.held_back]
    trail = command_audits(made, order, at, job.id)
    applied = await control.ledger.resolve(resolutions, trail, [job_replacement(job, after)])
    if not any(applied) and not is_same_job(await job_of(control.ledger, job.id), after):
        return None
    refused = await audit_refused(control.ledger, made, applied, order, at)
    return await _uncount_refused(control, after, len(refused)) if refused else after


async def _uncount_refused(control: ControlContext, job: Job, refused: int) -> Job:
    """Take back from what is done what was refused."""
    progress = msgspec.json.decode(job.progress, type=DeadLetterJobProgress)
    moved = msgspec.structs.replace(progress, skipped=progress.skipped + refused)
    after = msgspec.structs.replace(
        job, done=job.done - refused, progress=Raw(msgspec.json.encode(moved))
    )
    return after if await control.ledger.change_values([job_replacement(job, after)]) else job


def _came_back(dead_letter: FailedEvent, job: Job) -> bool:
    """Say whether a letter came back: it was redriven by this job, or died after that was begun."""
    return bool(dead_letter.failures) and dead_letter.failures[-1].at > job.created_at


def _action_of(job: Job) -> DeadLetterAction:
    return next(kind for kind in DEAD_LETTER_JOB_KINDS if kind == job.kind)
