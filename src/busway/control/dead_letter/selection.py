"""Which troubled events: what the ledger looks up, and what only a look at the event tells."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Annotated

import msgspec

from busway.control.field import Time, option
from busway.control.log.where import all_conditions
from busway.failed_event import FailedEvent, FailedEventQuery, FailedEventState
from busway.lane import EventRef
from busway.ports import Ledger

MAX_SCANNED = 20_000
"""How many events one page looks at for a ``where`` that few of them match."""
_PAGE_SIZE = 500
_SCAN_S = 1.0
"""After how long a look at one page ends, wherever it is then."""


class DeadLetterFilter(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """Failed events that fit all that is given.

    ``since`` (inclusive) and ``until`` (exclusive) are about when they failed, ``where`` are
    conditions on the event like ``data.customer.id=42`` (see
    :class:`busway.control.log.where.WhereCondition`).
    """

    flow: Annotated[str | None, option("Only of this flow.")] = None
    error: Annotated[str | None, option("The class of the last error.")] = None
    fingerprint: Annotated[str | None, option("Of this root cause, as `dead groups` shows it.")] = (
        None
    )
    key: Annotated[str | None, option("The event's key.")] = None
    id: Annotated[str | None, option("The event's id.")] = None
    since: Annotated[Time | None, option("Failed at this time or later.")] = None
    until: Annotated[Time | None, option("Failed before this time.")] = None
    where: Annotated[
        tuple[str, ...],
        option("A condition on the event, like data.customer.id=42. May be repeated."),
    ] = ()


class DeadLetterSelection(DeadLetterFilter, frozen=True, kw_only=True, omit_defaults=True):
    """Dead letters, or the events of another ``state``, that fit a filter."""

    state: Annotated[
        FailedEventState,
        option("Parked events instead of dead letters.", "--parked", value="parked"),
    ] = "dead"

    def query(self, after: EventRef | None = None, limit: int = _PAGE_SIZE) -> FailedEventQuery:
        """Return what the ledger is asked: all but ``where``."""
        return FailedEventQuery(
            state=self.state,
            flow=self.flow,
            event_id=self.id,
            after=after,
            limit=limit,
            event_key=self.key,
            error=self.error,
            fingerprint=self.fingerprint,
            since_from=self.since,
            since_to=self.until,
        )

    def before(self, at: datetime) -> DeadLetterSelection:
        """Return the part that was there at a time already."""
        until = at + timedelta(microseconds=1)
        return msgspec.structs.replace(self, until=min(until, self.until or until))

    def check(self) -> None:
        """Raise :class:`BuswayError` for a ``where`` that is none."""
        all_conditions(self.where)


class DeadLetterPage(msgspec.Struct, frozen=True):
    """Some of a selection, in order of flow, partition and offset.

    ``after`` is where the rest begins, ``None`` when there is none.
    """

    failed_events: Sequence[FailedEvent]
    after: EventRef | None


async def select_dead_letters(
    ledger: Ledger,
    selection: DeadLetterSelection,
    after: EventRef | None = None,
    limit: int = _PAGE_SIZE,
) -> DeadLetterPage:
    """Return up to ``limit`` of a selection from behind ``after`` on.

    It may be fewer, even none, with a place to go on from: a ``where`` that few events match is
    looked for among :data:`MAX_SCANNED` of them at a time, in a thread.
    """
    wanted = all_conditions(selection.where)
    found: list[FailedEvent] = []
    for _ in range(0, MAX_SCANNED, _PAGE_SIZE):
        most = _PAGE_SIZE if selection.where else min(_PAGE_SIZE, limit - len(found))
        page = await _read_page(ledger, selection.query(after, most))
        matching, looked = page, len(page)
        if selection.where:
            matching, looked = await asyncio.to_thread(_filter_page, page, wanted)
        room = limit - len(found)
        found += matching[:room]
        if len(matching) > room:
            return DeadLetterPage(found, found[-1].ref)
        if looked < len(page):
            return DeadLetterPage(found, page[looked - 1].ref)
        if len(page) < most:
            return DeadLetterPage(found, None)
        after = page[-1].ref
        if len(found) == limit:
            break
    return DeadLetterPage(found, after)


def _filter_page(
    page: Sequence[FailedEvent], wanted: Callable[[bytes], bool], within_s: float = _SCAN_S
) -> tuple[Sequence[FailedEvent], int]:
    """Return what is wanted of a page, and how many were looked at.

    It ends after ``within_s`` seconds, and one event at least: the test may be slow.
    """
    found: list[FailedEvent] = []
    ends_at = time.monotonic() + within_s
    for looked, one in enumerate(page, 1):
        if wanted(one.event):
            found.append(one)
        if time.monotonic() > ends_at:
            return found, looked
    return found, len(page)


async def _read_page(ledger: Ledger, query: FailedEventQuery) -> Sequence[FailedEvent]:
    """Return what the ledger has; a root cause is looked up flow by flow, as it is kept."""
    if query.fingerprint is None or query.flow is not None:
        return await ledger.failed_events(query)
    begun = query.after.flow if query.after else ""
    found: list[FailedEvent] = []
    for flow in sorted({lane.flow for lane in await ledger.lanes() if lane.flow >= begun}):
        after = query.after if flow == begun else None
        rest = query.limit - len(found)
        asked = msgspec.structs.replace(query, flow=flow, after=after, limit=rest)
        found += await ledger.failed_events(asked)
        if len(found) == query.limit:
            break
    return found


async def count_dead_letters(ledger: Ledger, selection: DeadLetterSelection) -> int | None:
    """Return how many a selection has; ``None`` where every event would have to be looked at."""
    if selection.where:
        return None
    groups = await ledger.failed_event_groups(selection.query(limit=1_000_000))
    return sum(group.count for group in groups)
