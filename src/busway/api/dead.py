"""``/dead``: dead letters and parked events: seen, edited, redriven, patched, discarded."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
from litestar import Request, Router, get, post, put
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, JSONBody
from msgspec import Raw

from busway.api.dead_query import DEPENDENCIES, Asked, Failed
from busway.api.etag import check_match
from busway.api.openapi import NAMES, example
from busway.api.page import Cursor, Limit
from busway.control.context import ControlContext
from busway.control.dead_letter.command import (
    ActionResult,
    DeadLetterAction,
    DeadLetterCommand,
    SkippedDeadLetter,
    apply_command,
)
from busway.control.dead_letter.dead_letter import (
    DeadLetter,
    DeadLetterDetail,
    RootCause,
    failed_event_at,
    find_failed_events,
    root_causes,
)
from busway.control.dead_letter.edit import edit_dead_letter
from busway.control.dead_letter.job import DeadLetterJobSpec, begin_dead_letter_job
from busway.control.dead_letter.patch import (
    PatchPreview,
    patch_previews,
    patch_run_audit,
)
from busway.control.dead_letter.selection import (
    DeadLetterSelection,
    select_dead_letters,
)
from busway.control.job import Job
from busway.control.page import Page, cursor_of, place_in
from busway.errors import BuswayError, NotFound
from busway.failed_event import FailedEvent, Failure
from busway.lane import EventRef

MOST_AT_ONCE = 500
_AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
_LETTER = DeadLetter(
    place="orders/2/4711",
    flow="orders",
    partition=2,
    offset=4711,
    id="order-17",
    key="c-9",
    state="dead",
    since=_AT,
    due=None,
    attempts=10,
    error="KeyError",
    reason="'total'",
    fingerprint="5b1f0c9d2e7a",
    cause="KeyError in shop.py:orders: total",
)
_EVENT = Raw(b'{"specversion":"1.0","id":"order-17","source":"/shop","type":"order.created"}')
_FAILURE = Failure(10, _AT, "step", "KeyError", "'total'", "Traceback …", "3f1c9a0be2d4", 0.2)
_DETAIL = DeadLetterDetail(dead_letter=_LETTER, event=_EVENT, failures=(_FAILURE,))
_CAUSE = RootCause(
    flow="orders",
    state="dead",
    fingerprint="5b1f0c9d2e7a",
    cause="KeyError in shop.py:orders: total",
    error="KeyError",
    count=1_206,
    dead=1_204,
    parked=2,
    first_since=_AT,
    last_since=_AT,
    example="orders/2/4711",
    example_id="order-17",
    example_reason="'total'",
)
_PATCH = "def patch(event):\n    return event.data | {'total': 0}\n"


class Which(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to do something with: letters by ``places`` (or event ids), at once; or a ``selection``,
    as a job, at ``rate`` (``null``: as fast as it goes).

    ``patch`` is a Python source with ``def patch(event)``; ``reason`` is kept in the trail.
    """

    places: tuple[str, ...] | None = None
    selection: Asked | None = None
    patch: str | None = None
    rate: str | None = "1000/s"
    reason: str = ""


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """What was done at once: how many letters, how many of them the patch changed, which were left
    and why. Or the ``job`` that does it; ``served`` is whether a server works it now, otherwise it
    begins with the next one that runs on this data."""

    done: int = 0
    changed: int = 0
    left: tuple[SkippedDeadLetter, ...] = ()
    job: Job | None = None
    served: bool = True


class Trial(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A patch to look at before it is applied, on a selection."""

    selection: Asked
    patch: str
    limit: int = 100
    cursor: str | None = None


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """What a patch would do to some letters; the counts are of these."""

    items: tuple[PatchPreview, ...]
    changed: int
    unchanged: int
    failed: int
    next: str | None = None


_PREVIEW = PatchPreview(
    place="orders/2/4711",
    id="order-17",
    effect="changed",
    diff='--- orders/2/4711\n+++ patched\n@@ -4,1 +4,1 @@\n-    "total": null\n+    "total": 0',
)
_TRIAL = Trial(selection=Asked(fingerprint="5b1f0c9d2e7a"), patch=_PATCH)
_TRIED = Tried(items=(_PREVIEW,), changed=1, unchanged=0, failed=0)
_TAKEN = Taken(done=1)
_REDRIVE = Which(places=("orders/2/4711",), reason="the step is mended")
_PATCHING = Which(selection=Asked(fingerprint="5b1f0c9d2e7a"), patch=_PATCH)
_DISCARD = Which(places=("orders/2/4711",), reason="a test order")


@get("/", summary="List dead letters", dependencies=DEPENDENCIES, opt=example(Page([_LETTER])))
async def list_dead(
    control: NamedDependency[ControlContext],
    selection: NamedDependency[DeadLetterSelection],
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[DeadLetter]:
    """Return dead letters by flow, partition and offset; of ``state=parked``, parked events.

    A page may have fewer than ``limit``, even none, and a ``next``: where few match a ``where``.
    """
    after = _place(cursor)
    found = await select_dead_letters(control.ledger, selection, after, limit)
    letters = [DeadLetter.of(one) for one in found.failed_events]
    return Page(letters, cursor_of(found.after) if found.after else None)


@get("/groups", summary="Group by cause", dependencies=DEPENDENCIES, opt=example(Page([_CAUSE])))
async def list_causes(
    control: NamedDependency[ControlContext],
    selection: NamedDependency[DeadLetterSelection],
    failed: NamedDependency[Failed],
    limit: Limit = 100,
) -> Page[RootCause]:
    """Return dead letters and parked events by root cause, the largest group first.

    Without a `state` both together. There is one page.
    """
    if selection.where:
        raise BuswayError("where: groups are counted without a look at events; leave where out")
    return Page(await root_causes(control.ledger, selection, limit, both=failed.state is None))


class Lettered(msgspec.Struct, frozen=True):
    """The letter that a path names."""

    letter: FailedEvent


async def lettered(
    control: NamedDependency[ControlContext],
    flow: FromPath[str],
    partition: FromPath[int],
    offset: FromPath[int],
) -> Lettered:
    """Return the letter that a path names. Raises :class:`NotFound`."""
    found = await failed_event_at(control.ledger, EventRef(flow, partition, offset))
    if found is None:
        raise NotFound(f"there is no dead letter at {flow}/{partition}/{offset}")
    return Lettered(found)


@get("/{flow:str}/{partition:int}/{offset:int}", summary="Show one", opt=example(_DETAIL))
async def show_dead(at: NamedDependency[Lettered]) -> DeadLetterDetail:
    """Return a dead letter, or a parked event, whole: its event and every failed attempt."""
    return DeadLetterDetail.of(at.letter)


@put(
    "/{flow:str}/{partition:int}/{offset:int}/event",
    summary="Edit one",
    opt=example(_DETAIL, _EVENT),
)
async def edit_dead(
    at: NamedDependency[Lettered],
    control: NamedDependency[ControlContext],
    request: Request[Any, Any, Any],
    who: NamedDependency[str],
    data: JSONBody[dict[str, Any]],
) -> DeadLetterDetail:
    """Put the event of the body in the place of a letter's; `If-Match` takes the letter's ETag.

    It must be a valid CloudEvent with the same `id` and `source`, in an ordered flow the same key.
    """
    check_match(request, DeadLetterDetail.of(at.letter))
    del data  # as the bytes that came, so that numbers stay as they were written
    raw, now = (await request.body()).strip(), control.clock.now()
    return DeadLetterDetail.of(await edit_dead_letter(control.ledger, at.letter, raw, now, who))


@post("/preview", summary="Try a patch", status_code=200, opt=example(_TRIED, _TRIAL))
async def preview_patch(
    control: NamedDependency[ControlContext], data: JSONBody[Trial], who: NamedDependency[str]
) -> Tried:
    """Return what a patch would change of each letter of a selection; no letter is changed.

    The code runs in a process of its own with limits; that it ran is kept in the audit trail.
    """
    after, selection = _place(data.cursor), data.selection.selection()
    audit = patch_run_audit(data.patch, control.clock.now(), who, selection)
    await control.ledger.change_values([], [audit])
    limit = min(max(data.limit, 1), MOST_AT_ONCE)
    found = await patch_previews(control.ledger, selection, data.patch, after, limit)
    effects = [one.effect for one in found.items]
    return Tried(
        items=tuple(found.items),
        changed=effects.count("changed"),
        unchanged=effects.count("unchanged"),
        failed=effects.count("failed"),
        next=cursor_of(found.after) if found.after else None,
    )


@post("/redrive", summary="Give to the flow again", status_code=200, opt=example(_TAKEN, _REDRIVE))
async def redrive_dead(
    control: NamedDependency[ControlContext], data: JSONBody[Which], who: NamedDependency[str]
) -> Taken:
    """Give letters to their flow again with all attempts anew, edited by the patch where one is
    given; what failed before is kept."""
    return await _taken(control, "redrive", data, who)


@post("/patch", summary="Edit many", status_code=200, opt=example(_TAKEN, _PATCHING))
async def patch_dead(
    control: NamedDependency[ControlContext], data: JSONBody[Which], who: NamedDependency[str]
) -> Taken:
    """Edit letters through a patch where they are, without redriving them."""
    if data.patch is None:
        raise BuswayError("patch: give a Python source with def patch(event)")
    return await _taken(control, "patch", data, who)


@post("/discard", summary="Give up for good", status_code=200, opt=example(_TAKEN, _DISCARD))
async def discard_dead(
    control: NamedDependency[ControlContext], data: JSONBody[Which], who: NamedDependency[str]
) -> Taken:
    """Give letters up for good, for a `reason` that is kept."""
    if not data.reason.strip():
        raise BuswayError("reason: say why they are discarded; it is kept in the audit trail")
    if data.patch is not None:
        raise BuswayError("patch: what is discarded is not edited")
    return await _taken(control, "discard", data, who)


def _place(cursor: str | None) -> EventRef | None:
    return place_in(cursor, EventRef) if cursor else None


async def _taken(control: ControlContext, action: DeadLetterAction, data: Which, who: str) -> Taken:
    if (data.places is None) == (data.selection is None):
        raise BuswayError("say which: either places, or a selection")
    if data.selection is not None:
        spec = DeadLetterJobSpec(
            selection=data.selection.selection(), patch=data.patch, reason=data.reason
        )
        job = await begin_dead_letter_job(control, action, spec, who, data.rate)
        return Taken(job=job, served=control.program() is not None)
    letters = await _named(control, data.places or ())
    order = DeadLetterCommand(action=action, actor=who, reason=data.reason, patch=data.patch)
    made: ActionResult = await apply_command(control, letters, order)
    return Taken(done=made.done, changed=made.changed, left=made.skipped)


async def _named(control: ControlContext, names: tuple[str, ...]) -> list[FailedEvent]:
    if len(names) > MOST_AT_ONCE:
        raise BuswayError(f"places: at most {MOST_AT_ONCE} at once; give a selection for more")
    found = {
        (one.flow, one.partition, one.offset): one
        for name in names
        for one in await find_failed_events(control.ledger, name)
    }
    return list(found.values())


router = Router(
    "/dead",
    opt=NAMES,
    route_handlers=[
        list_dead,
        list_causes,
        show_dead,
        edit_dead,
        preview_patch,
        redrive_dead,
        patch_dead,
        discard_dead,
    ],
    dependencies={"at": Provide(lettered)},
    tags=["dead letters"],
)
