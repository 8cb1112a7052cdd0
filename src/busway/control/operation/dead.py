"""``busway dead``: dead letters and parked events: list, show, edit, redrive, patch, discard."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import msgspec
from msgspec import Raw

from busway.control.context import ControlContext
from busway.control.dead_letter.command import (
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
    DeadLetterFilter,
    DeadLetterSelection,
    select_dead_letters,
)
from busway.control.field import argument, option
from busway.control.job import Job
from busway.control.operation import Command, CommandGroup, OperationContext, http, operation
from busway.control.page import MAX_LIMIT, Page, PageRequest, cursor_of, place_in
from busway.errors import BuswayError, NotFound
from busway.failed_event import FailedEvent, FailedEventState, Failure
from busway.lane import EventRef

GROUP = CommandGroup(
    "dead",
    "Dead letters: list, group, show, edit, patch, redrive, discard.",
    "busway dead groups --flow orders",
)
MAX_PLACES = 500
"""How many dead letters are named at once at most."""
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
_BY_CAUSE = DeadLetterSelection(fingerprint="5b1f0c9d2e7a")


class ListDead(PageRequest, frozen=True, kw_only=True):
    """Which dead letters to list."""

    selection: DeadLetterSelection = DeadLetterSelection()


class GroupFilter(DeadLetterFilter, frozen=True, kw_only=True):
    """Dead letters and parked events, or those of one ``state``."""

    state: Annotated[
        FailedEventState | None, option("Only parked events.", "--parked", value="parked")
    ] = None


class ListGroups(GroupFilter, frozen=True, kw_only=True):
    """Which dead letters and parked events to group."""

    limit: Annotated[int, option("Maximum number of groups.", ge=1, le=MAX_LIMIT)] = 100


class DeadLetterPlace(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which dead letter or parked event is meant, by its place."""

    flow: Annotated[str, argument("The flow.")]
    partition: Annotated[int, argument("The partition.")]
    offset: Annotated[int, argument("The offset.")]


class EditDead(DeadLetterPlace, frozen=True, kw_only=True):
    """The event to put in the place of a dead letter's."""

    event: Annotated[Raw, option("The event.", is_body=True)]


class BulkRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which dead letters to change: at once those of ``places`` (or event ids), or as a job those
    of a ``selection``, at ``rate`` (``null`` or ``"max"``: without a limit)."""

    places: Annotated[
        tuple[str, ...] | None,
        argument("Event ids, or flow/partition/offset.", metavar="EVENT…"),
    ] = None
    selection: DeadLetterSelection | None = None
    rate: Annotated[str | None, option("The rate of a job; max: without a limit.")] = "1000/s"
    reason: Annotated[str, option("Why, for the audit trail.")] = ""


class RedriveDead(BulkRequest, frozen=True, kw_only=True):
    """Which dead letters to redrive, edited by a ``patch`` before, if one is given."""

    patch: Annotated[
        str | None,
        option("A Python file with def patch(event), applied before.", from_file=True),
    ] = None


class PatchDead(BulkRequest, frozen=True, kw_only=True):
    """Which dead letters to edit by a ``patch``: a Python source with ``def patch(event)``."""

    patch: Annotated[
        str,
        argument("A Python file with def patch(event).", metavar="FILE", from_file=True),
    ]
    places: Annotated[tuple[str, ...] | None, option("Event ids or places.", shown=False)] = None
    rate: Annotated[str | None, option("The rate of a job.", shown=False)] = "1000/s"


class PreviewPatch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A patch to try on a selection."""

    selection: DeadLetterSelection
    patch: str
    limit: int = 100
    cursor: str | None = None


class BulkResult(msgspec.Struct, frozen=True, kw_only=True):
    """What was done at once: how many dead letters, how many of them the patch changed, which were
    left and why. Or the ``job`` that does it; ``served`` is whether a server works it now,
    otherwise it begins with the next one that runs on this data."""

    done: int = 0
    changed: int = 0
    left: tuple[SkippedDeadLetter, ...] = ()
    job: Job | None = None
    served: bool = True


class PatchTrial(msgspec.Struct, frozen=True, kw_only=True):
    """What a patch would do to some dead letters; the counts are of these."""

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
_PLACE = DeadLetterPlace(flow="orders", partition=2, offset=4711)


@operation(
    http("GET", "/dead", tag="dead letters", may_miss=True),
    summary="List dead letters",
    command=Command("dead list", limit=100),
    request=ListDead(selection=DeadLetterSelection(flow="orders", where=("data.customer.id=42",))),
    result=Page([_LETTER]),
)
async def list_dead(context: OperationContext, request: ListDead) -> Page[DeadLetter]:
    """List dead letters, or parked events, by flow, partition and offset.

    A page may have fewer items than `limit`, even none, and a `next`: if few match a `where`.
    """
    request.selection.check()
    after, ledger = _place(request.cursor), context.control.ledger
    found = await select_dead_letters(ledger, request.selection, after, request.limit)
    letters = [DeadLetter.of(trouble) for trouble in found.failed_events]
    return Page(letters, cursor_of(found.after) if found.after else None)


@operation(
    http("GET", "/dead/groups", tag="dead letters", may_miss=True),
    summary="Group by cause",
    command="dead groups",
    request=ListGroups(flow="orders"),
    result=Page([_CAUSE]),
)
async def list_groups(context: OperationContext, request: ListGroups) -> Page[RootCause]:
    """Group dead letters and parked events by root cause, the largest group first.

    Parked events have attempts left and are tried again. There is one page.
    """
    if request.where:
        raise BuswayError("where: groups are counted without reading events; leave it out")
    given = {name: getattr(request, name) for name in DeadLetterFilter.__struct_fields__}
    selection = DeadLetterSelection(state=request.state or "dead", **given)
    both = request.state is None
    return Page(await root_causes(context.control.ledger, selection, request.limit, both=both))


@operation(
    http("GET", "/dead/{flow}/{partition}/{offset}", tag="dead letters"),
    summary="Show a dead letter",
    request=_PLACE,
    result=_DETAIL,
)
async def show_dead(context: OperationContext, request: DeadLetterPlace) -> DeadLetterDetail:
    """Return a dead letter, or a parked event, in full: its event and every failed attempt."""
    return DeadLetterDetail.of(await _at(context, request))


@operation(
    http("PUT", "/dead/{flow}/{partition}/{offset}/event", tag="dead letters", current=show_dead),
    summary="Edit a dead letter",
    request=EditDead(flow="orders", partition=2, offset=4711, event=_EVENT),
    result=_DETAIL,
)
async def edit_dead(context: OperationContext, request: EditDead) -> DeadLetterDetail:
    """Replace the event of a dead letter by that of the body; `If-Match` takes the letter's ETag.

    It must be a valid CloudEvent with the same `id` and `source`, in an ordered flow the same key.
    """
    letter, now = await _at(context, request), context.control.clock.now()
    edited = await edit_dead_letter(
        context.control.ledger, letter, bytes(request.event), now, context.actor
    )
    return DeadLetterDetail.of(edited)


@operation(
    http("POST", "/dead/preview", tag="dead letters", may_miss=True),
    summary="Try a patch",
    request=PreviewPatch(selection=_BY_CAUSE, patch=_PATCH),
    result=PatchTrial(items=(_PREVIEW,), changed=1, unchanged=0, failed=0),
)
async def preview_patch(context: OperationContext, request: PreviewPatch) -> PatchTrial:
    """Return what a patch would change of each dead letter of a selection, and change none.

    The code runs in a process of its own with limits; that it ran is kept in the audit trail.
    """
    control, after = context.control, _place(request.cursor)
    request.selection.check()
    audit = patch_run_audit(request.patch, control.clock.now(), context.actor, request.selection)
    await control.ledger.change_values([], [audit])
    limit = min(max(request.limit, 1), MAX_PLACES)
    found = await patch_previews(control.ledger, request.selection, request.patch, after, limit)
    effects = [item.effect for item in found.items]
    return PatchTrial(
        items=tuple(found.items),
        changed=effects.count("changed"),
        unchanged=effects.count("unchanged"),
        failed=effects.count("failed"),
        next=cursor_of(found.after) if found.after else None,
    )


@operation(
    http("POST", "/dead/redrive", tag="dead letters", may_miss=True),
    summary="Redrive dead letters",
    command=Command("dead redrive", example="--fingerprint 5b1f0c9d2e7a --rate 100/s"),
    request=RedriveDead(places=("orders/2/4711",), reason="the step is fixed"),
    result=BulkResult(done=1),
)
async def redrive_dead(context: OperationContext, request: RedriveDead) -> BulkResult:
    """Give dead letters to their flow again, with all attempts.

    Named ones at once; those of a filter as a job on the server. What failed before is kept.
    """
    return await _change(context, "redrive", request, request.patch)


@operation(
    http("POST", "/dead/patch", tag="dead letters", may_miss=True),
    summary="Edit many",
    command=Command("dead patch", example="mend.py --fingerprint 5b1f0c9d2e7a"),
    request=PatchDead(selection=_BY_CAUSE, patch=_PATCH),
    result=BulkResult(done=1),
)
async def patch_dead(context: OperationContext, request: PatchDead) -> BulkResult:
    """Edit dead letters by a Python function, without redriving them.

    The function gets an event and returns its new data, an event, or None to leave it. The command
    shows what would change, unless `--apply` is given.
    """
    return await _change(context, "patch", request, request.patch)


@operation(
    http("POST", "/dead/discard", tag="dead letters", may_miss=True),
    summary="Discard dead letters",
    command="dead discard",
    request=BulkRequest(places=("orders/2/4711",), reason="a test order"),
    result=BulkResult(done=1),
)
async def discard_dead(context: OperationContext, request: BulkRequest) -> BulkResult:
    """Discard dead letters for good, for a reason that is kept.

    On a terminal the command asks before it discards more than the named ones. Without a terminal,
    `--all` needs `--yes`.
    """
    if not request.reason.strip():
        raise BuswayError("reason: say why they are discarded; it is kept in the audit trail")
    return await _change(context, "discard", request, None)


async def _at(context: OperationContext, request: DeadLetterPlace) -> FailedEvent:
    ref = EventRef(request.flow, request.partition, request.offset)
    found = await failed_event_at(context.control.ledger, ref)
    if found is None:
        raise NotFound(f"there is no dead letter at {'/'.join(map(str, ref))}")
    return found


def _place(cursor: str | None) -> EventRef | None:
    return place_in(cursor, EventRef) if cursor else None


async def _change(
    context: OperationContext, action: DeadLetterAction, request: BulkRequest, patch: str | None
) -> BulkResult:
    if (request.places is None) == (request.selection is None):
        raise BuswayError("give either places or a selection")
    control = context.control
    if request.selection is not None:
        spec = DeadLetterJobSpec(selection=request.selection, patch=patch, reason=request.reason)
        rate = None if request.rate == "max" else request.rate
        job = await begin_dead_letter_job(control, action, spec, context.actor, rate)
        return BulkResult(job=job, served=control.program() is not None)
    letters = await _named(control, request.places or ())
    order = DeadLetterCommand(
        action=action, actor=context.actor, reason=request.reason, patch=patch
    )
    made = await apply_command(control, letters, order)
    return BulkResult(done=made.done, changed=made.changed, left=made.skipped)


async def _named(control: ControlContext, names: tuple[str, ...]) -> list[FailedEvent]:
    if len(names) > MAX_PLACES:
        raise BuswayError(f"places: at most {MAX_PLACES} at once; give a selection for more")
    found = {
        (trouble.flow, trouble.partition, trouble.offset): trouble
        for name in names
        for trouble in await find_failed_events(control.ledger, name)
    }
    return list(found.values())
