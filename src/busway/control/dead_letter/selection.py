"""Select failed events: by what the ledger can query, and by conditions on the event."""

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
"""The largest number of events that one page scans for a ``where``."""
_PAGE_SIZE = 500
_SCAN_S = 1.0
"""The time after which the scan of one page ends."""


class DeadLetterFilter(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """Failed events that match all given criteria.

    ``since`` (inclusive) and ``until`` (exclusive) bound the time of the failure. ``where`` are
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
    """Dead letters, or failed events of another ``state``, that match a filter."""

    state: Annotated[
        FailedEventState,
        option("Parked events instead of dead letters.", "--parked", value="parked"),
    ] = "dead"

    def query(self, after: EventRef | None = None, limit: int = _PAGE_SIZE) -> FailedEventQuery:
        """Return the query for the ledger: everything except ``where``."""
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
        """Return the part of the selection that had failed by a time."""
        until = at + timedelta(microseconds=1)
        return msgspec.structs.replace(self, until=min(until, self.until or until))

    def check(self) -> None:
        """Raise :class:`BuswayError` for an invalid ``where``."""
        all_conditions(self.where)


class DeadLetterPage(msgspec.Struct, frozen=True):
    """A part of a selection, in order of flow, partition and offset.

    The rest begins behind ``after``, which is ``None`` if there is no more.
    """

    failed_events: Sequence[FailedEvent]
    after: EventRef | None


async def select_dead_letters(
    ledger: Ledger,
    selection: DeadLetterSelection,
    after: EventRef | None = None,
    limit: int = _PAGE_SIZE,
) -> DeadLetterPage:
    """Return up to ``limit`` failed events of a selection, beginning behind ``after``.

    The page may be smaller or empty and still have an ``after``: for a ``where`` that few events
    match, one call scans at most :data:`MAX_SCANNED` events, in a thread.
    """
    matches = all_conditions(selection.where)
    selected: list[FailedEvent] = []
    for _ in range(0, MAX_SCANNED, _PAGE_SIZE):
        page_size = _PAGE_SIZE if selection.where else min(_PAGE_SIZE, limit - len(selected))
        page = await _read_page(ledger, selection.query(after, page_size))
        matching, scanned = page, len(page)
        if selection.where:
            matching, scanned = await asyncio.to_thread(_filter_page, page, matches)
        room = limit - len(selected)
        selected += matching[:room]
        if len(matching) > room:
            return DeadLetterPage(selected, selected[-1].ref)
        if scanned < len(page):
            return DeadLetterPage(selected, page[scanned - 1].ref)
        if len(page) < page_size:
            return DeadLetterPage(selected, None)
        after = page[-1].ref
        if len(selected) == limit:
            break
    return DeadLetterPage(selected, after)


def _filter_page(
    page: Sequence[FailedEvent], matches: Callable[[bytes], bool], within_s: float = _SCAN_S
) -> tuple[Sequence[FailedEvent], int]:
    """Return the events of a page that match, and how many were scanned.

    The scan ends after ``within_s`` seconds and at least one event: the conditions may be slow.
    """
    matching: list[FailedEvent] = []
    ends_at = time.monotonic() + within_s
    for scanned, event in enumerate(page, 1):
        if matches(event.event):
            matching.append(event)
        if time.monotonic() > ends_at:
            return matching, scanned
    return matching, len(page)


async def _read_page(ledger: Ledger, query: FailedEventQuery) -> Sequence[FailedEvent]:
    """Read a page of the ledger; a root cause is queried flow by flow, as it is indexed."""
    if query.fingerprint is None or query.flow is not None:
        return await ledger.failed_events(query)
    first_flow = query.after.flow if query.after else ""
    events: list[FailedEvent] = []
    for flow in sorted({lane.flow for lane in await ledger.lanes() if lane.flow >= first_flow}):
        after = query.after if flow == first_flow else None
        rest = query.limit - len(events)
        flow_query = msgspec.structs.replace(query, flow=flow, after=after, limit=rest)
        events += await ledger.failed_events(flow_query)
        if len(events) == query.limit:
            break
    return events


async def count_dead_letters(ledger: Ledger, selection: DeadLetterSelection) -> int | None:
    """Return how many a selection has; ``None`` where every event would have to be looked at."""
    if selection.where:
        return None
    groups = await ledger.failed_event_groups(selection.query(limit=1_000_000))
    return sum(group.count for group in groups)
