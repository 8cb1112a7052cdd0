"""``busway sources``: what comes from where, what was refused, pause and resume."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import msgspec

from busway.control.field import Time, argument, option
from busway.control.operation import OperationContext, http, operation
from busway.control.operator_control.operation import pause_end
from busway.control.page import Page, PageRequest, page_after
from busway.control.source.operation import check_source, pause_source, resume_source
from busway.control.source.record import LastRefusal
from busway.control.source.status import SourceStatus, SourceWorker, source_statuses

_AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
_SOURCE = SourceStatus(
    name="nightly",
    kind="reader",
    type="schedule",
    accepted=412,
    refused={"missed": 3},
    received_at=_AT,
    last_refusal=LastRefusal(_AT, "missed", "ticks were missed and passed over"),
    position='{"timing":"cron 0 2 * * * (Europe/Berlin)","after":"2026-03-01T01:00:00Z"}',
    saved_at=_AT,
    next_at=datetime(2026, 3, 2, 1, tzinfo=UTC),
    worker=SourceWorker("3f1c0a9b77de", "host-a", 4711),
)


class SourceName(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which source is meant."""

    name: Annotated[str, argument("The source's name.")]


class PauseSource(SourceName, frozen=True, kw_only=True):
    """A pause until a time, for a duration (``"2h"``), or, without either, until it is resumed."""

    until: Annotated[Time | None, option("Until then.", ahead=True)] = None
    lasts: Annotated[str | None, option("For this long, like 2h.")] = msgspec.field(
        default=None, name="for"
    )
    reason: Annotated[str, option("Why, for the audit trail and whoever looks.")] = ""


class ResumeSource(SourceName, frozen=True, kw_only=True):
    """Which source to resume, and whether behind a gap."""

    skip_gap: Annotated[
        bool, option("Continue behind the gap that has stopped it: what is missing is lost.")
    ] = False
    reason: Annotated[str, option("Why, for the audit trail.")] = ""


@operation(
    http("GET", "/sources", tag="sources"),
    command="sources",
    summary="List sources",
    result=Page([_SOURCE]),
)
async def list_sources(context: OperationContext, request: PageRequest) -> Page[SourceStatus]:
    """List the sources by name: their state, what came, and what was refused and why."""
    control = context.control
    found = await source_statuses(control.ledger, control.clock.now())
    return page_after(found, request, lambda source: source.name, str)


@operation(
    http("GET", "/sources/{name}", tag="sources"),
    command="sources show",
    summary="Show a source",
    request=SourceName(name="nightly"),
    result=_SOURCE,
)
async def show_source(context: OperationContext, request: SourceName) -> SourceStatus:
    """Show a source in full: position, lag, last error, and the worker that reads from it."""
    return await _status(context, request.name)


@operation(
    http("POST", "/sources/{name}/pause", tag="sources"),
    command="sources pause",
    summary="Pause a source",
    request=PauseSource(name="nightly", lasts="2h", reason="migration"),
    result=_SOURCE,
)
async def pause_one_source(context: OperationContext, request: PauseSource) -> SourceStatus:
    """Accept nothing from a source; every process follows within about a second.

    A request source answers 503 with Retry-After. A reader stops reading and keeps its position.
    The pause outlives restarts.
    """
    clock = context.control.clock
    until = pause_end(clock.now(), request.lasts, request.until, clock.wall_clock_offset())
    await pause_source(context.control, request.name, context.actor, request.reason, until)
    return await _status(context, request.name)


@operation(
    http("POST", "/sources/{name}/resume", tag="sources"),
    command="sources resume",
    summary="Resume a source",
    request=ResumeSource(name="nightly"),
    result=_SOURCE,
)
async def resume_one_source(context: OperationContext, request: ResumeSource) -> SourceStatus:
    """End a pause; have a reader that a gap has stopped try again at its position.

    With `--skip-gap` it continues where the source has everything again: what is missing is lost.
    """
    await resume_source(
        context.control,
        request.name,
        context.actor,
        request.reason,
        skip_gap=request.skip_gap,
    )
    return await _status(context, request.name)


async def _status(context: OperationContext, name: str) -> SourceStatus:
    control = context.control
    await check_source(control.ledger, name)
    found = await source_statuses(control.ledger, control.clock.now())
    return next(source for source in found if source.name == name)
