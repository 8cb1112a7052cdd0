"""Jobs on dead letters: a whole selection, page by page, once for each letter."""

from __future__ import annotations

import msgspec
from msgspec import Raw

from busway.clock import new_id
from busway.control.control import Control
from busway.control.dead.patch import Patch, load_patch, run_audit
from busway.control.dead.redrive import Action, Order, Refusal, audits, decide, note_refused
from busway.control.dead.selection import Place, Selection, count, select
from busway.control.job import Job, begin, replaced, same
from busway.control.job import job as job_of
from busway.delivery.throttle import Rate
from busway.lane import Trouble

PAGE = 500
"""How many letters one transaction takes at most."""
KINDS: tuple[Action, ...] = ("redrive", "patch", "discard")
_FAILURES = 20


class Spec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a job on dead letters was asked to do."""

    selection: Selection
    patch: str | None = None
    reason: str = ""


class Progress(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far a job on dead letters is: behind ``after``.

    ``changed`` were edited by the patch, ``failed`` were left because of it (the first
    ``failures`` say why), ``left`` were left because they changed meanwhile.
    """

    after: Place | None = None
    changed: int = 0
    failed: int = 0
    left: int = 0
    failures: tuple[Refusal, ...] = ()


async def begin_job(
    control: Control, action: Action, spec: Spec, who: str, rate: str | None = None
) -> Job:
    """Record a job on all dead letters of a selection; what serves the ledger works it.

    Raises :class:`BuswayError` for a ``where``, a patch or a rate that is none.
    """
    spec.selection.check()
    if rate is not None:
        Rate.parse(rate)
    at = control.clock.now()
    if spec.patch is not None:
        audit = run_audit(spec.patch, at, who, spec.selection, spec.reason)
        await control.ledger.change([], [audit])
        await load_patch(spec.patch)
    made = Job(
        id=new_id(),
        kind=action,
        flow=spec.selection.flow or "",
        who=who,
        created_at=at,
        changed_at=at,
        rate=rate,
        total=await count(control.ledger, spec.selection.before(at)),
        spec=Raw(msgspec.json.encode(spec)),
    )
    await begin(control.ledger, made)
    control.wake()
    return made


def renamed(job: Job, flow: str) -> Job:
    """Return a job of a flow that has another name now: it goes on with the same letters."""
    after = msgspec.structs.replace(job, flow=flow)
    if job.kind not in KINDS:
        return after
    spec = msgspec.json.decode(job.spec, type=Spec)
    progress = msgspec.json.decode(job.progress, type=Progress)
    selection = msgspec.structs.replace(spec.selection, flow=flow)
    place = None if progress.after is None else (flow, *progress.after[1:])
    return msgspec.structs.replace(
        after,
        spec=Raw(msgspec.json.encode(msgspec.structs.replace(spec, selection=selection))),
        progress=Raw(msgspec.json.encode(msgspec.structs.replace(progress, after=place))),
    )


async def patch_of(job: Job) -> Patch | None:
    """Return the patch of a job, loaded, where it has one."""
    source = msgspec.json.decode(job.spec, type=Spec).patch
    return None if source is None else await load_patch(source)


async def work_page(control: Control, job: Job, function: Patch | None, most: int) -> Job | None:
    """Do what a job is about with up to ``most`` letters; return the job as it is then.

    All of it is one transaction: a page is done and known to be done, or neither. ``None`` when the
    job was changed by somebody else; then nothing was done.
    """
    spec = msgspec.json.decode(job.spec, type=Spec)
    progress = msgspec.json.decode(job.progress, type=Progress)
    selection, at = spec.selection.before(job.created_at), control.clock.now()
    found = await select(control.ledger, selection, progress.after, min(most, PAGE))
    letters = [one for one in found.troubles if not _failed_since(one, job)]
    order = Order(action=_action(job), who=job.who, reason=spec.reason, patch=spec.patch)
    made = await decide(control.ledger, letters, order, (function, at))
    moved = msgspec.structs.replace(
        progress,
        after=found.after or progress.after,
        changed=progress.changed + made.changed,
        failed=progress.failed + len(made.left),
        failures=(*progress.failures, *made.left)[:_FAILURES],
    )
    after = msgspec.structs.replace(
        job,
        state="done" if found.after is None else "running",
        done=job.done + len(made.verdicts),
        changed_at=at,
        progress=Raw(msgspec.json.encode(moved)),
    )
    verdicts = [*made.verdicts, *made.others]
    trail = audits(made, order, at, job.id)
    applied = await control.ledger.judge(verdicts, trail, [replaced(job, after)])
    if not any(applied) and not same(await job_of(control.ledger, job.id), after):
        return None
    refused = await note_refused(control.ledger, made, applied, order, at)
    return await _corrected(control, after, len(refused)) if refused else after


async def _corrected(control: Control, job: Job, refused: int) -> Job:
    """Take back from what is done what was refused."""
    progress = msgspec.json.decode(job.progress, type=Progress)
    moved = msgspec.structs.replace(progress, left=progress.left + refused)
    after = msgspec.structs.replace(
        job, done=job.done - refused, progress=Raw(msgspec.json.encode(moved))
    )
    return after if await control.ledger.change([replaced(job, after)]) else job


def _failed_since(letter: Trouble, job: Job) -> bool:
    """Say whether a letter came back: it was redriven by this job, or died after that was begun."""
    return bool(letter.failures) and letter.failures[-1].at > job.created_at


def _action(job: Job) -> Action:
    return next(kind for kind in KINDS if kind == job.kind)
