"""Dead letters and parked events: list them one by one and by root cause."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Self

import msgspec
from msgspec import Raw

from busway.control.dead_letter.selection import DeadLetterSelection
from busway.delivery.fingerprint import title
from busway.errors import NotFound
from busway.failed_event import (
    FailedEvent,
    FailedEventGroup,
    FailedEventQuery,
    FailedEventState,
    Failure,
)
from busway.lane import EventRef
from busway.ports import Ledger

_NO_NUMBER = 2**63
"""Larger than every partition and offset: the ledger keeps them in 64 bits."""
_MAX_GROUPS = 1_000
_WAITS_FOR_KEY = "it waits behind an earlier event of its key"


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A dead letter or parked event, in short.

    ``place`` identifies it: ``flow/partition/offset``. ``cause`` is the root cause of its last
    failure in words, identified by ``fingerprint``; ``reason`` is the text of that failure.
    ``attempts`` counts the attempts since the event arrived or was redriven.
    """

    place: str
    flow: str
    partition: int
    offset: int
    id: str
    key: str | None
    state: FailedEventState
    since: datetime
    due: datetime | None
    attempts: int
    error: str
    reason: str
    fingerprint: str
    cause: str

    @classmethod
    def of(cls, failed_event: FailedEvent) -> Self:
        """Return the summary of a failed event."""
        last = failed_event.failures[-1] if failed_event.failures else None
        return cls(
            place=place_of(failed_event),
            flow=failed_event.flow,
            partition=failed_event.partition,
            offset=failed_event.offset,
            id=failed_event.event_id,
            key=failed_event.event_key,
            state=failed_event.state,
            since=failed_event.since,
            due=failed_event.due,
            attempts=failed_event.attempts,
            error=last.error if last else "",
            reason=last.reason if last else "",
            fingerprint=failed_event.fingerprint,
            cause=title(last, failed_event.fingerprint) if last else "",
        )


class DeadLetterDetail(msgspec.Struct, frozen=True, kw_only=True):
    """A dead letter in full: its event, and the failed attempts that are kept, oldest first."""

    dead_letter: DeadLetter
    event: Raw
    failures: tuple[Failure, ...]

    @classmethod
    def of(cls, failed_event: FailedEvent) -> Self:
        """Return the details of a failed event."""
        return cls(
            dead_letter=DeadLetter.of(failed_event),
            event=Raw(failed_event.event),
            failures=failed_event.failures,
        )


class RootCause(msgspec.Struct, frozen=True, kw_only=True):
    """The failed events of one flow that share a root cause: their number, times and an example.

    ``count`` is the sum of ``dead`` and ``parked``; ``state`` is ``dead`` if any of them is dead.
    ``example`` is the place of one event, ``example_id`` its id, ``example_reason`` the full text
    of its last failure.
    """

    flow: str
    state: FailedEventState
    fingerprint: str
    cause: str
    error: str
    count: int
    dead: int = 0
    parked: int = 0
    first_since: datetime
    last_since: datetime
    example: str
    example_id: str = ""
    example_reason: str = ""


async def root_causes(
    ledger: Ledger, selection: DeadLetterSelection, limit: int = 100, *, both: bool = False
) -> Sequence[RootCause]:
    """Group a selection by root cause, the largest group first; its ``where`` is ignored.

    With ``both``, dead letters and parked events are counted together.
    """
    query = selection.query(limit=limit)
    if both:  # there is a group for each cause and state: read enough of them to merge
        query = msgspec.structs.replace(query, state=None, limit=max(_MAX_GROUPS, 2 * limit))
    by_cause: dict[tuple[str, str], list[FailedEventGroup]] = {}
    for group in await ledger.failed_event_groups(query):
        by_cause.setdefault((group.flow, group.fingerprint), []).append(group)
    merged = sorted(by_cause.values(), key=lambda groups: -sum(group.count for group in groups))
    return [_root_cause(groups, await _example_event(ledger, groups)) for groups in merged[:limit]]


async def find_failed_events(ledger: Ledger, name: str) -> Sequence[FailedEvent]:
    """Return the dead letters and parked events with a name: an id or ``flow/partition/offset``.

    Raises :class:`NotFound` if there is none.
    """
    place = parse_place(name)
    event = None if place is None else await failed_event_at(ledger, place)
    if event is not None:
        return [event]
    events = await ledger.failed_events(FailedEventQuery(event_id=name))
    if not events:
        raise NotFound(f"there is no dead letter {name!r}; `busway dead list` shows them")
    return events


async def failed_event_at(ledger: Ledger, ref: EventRef) -> FailedEvent | None:
    """Return the dead letter or parked event at ``ref``, ``None`` if there is none."""
    if not (0 <= ref.partition < _NO_NUMBER and 0 <= ref.offset < _NO_NUMBER):
        return None
    after = EventRef(ref.flow, ref.partition, ref.offset - 1)
    query = FailedEventQuery(flow=ref.flow, partition=ref.partition, after=after, limit=1)
    events = await ledger.failed_events(query)
    return events[0] if events and events[0].offset == ref.offset else None


def parse_place(name: str) -> EventRef | None:
    """Return the event that ``flow/partition/offset`` names, ``None`` if it is not such a name."""
    flow, _, rest = name.partition("/")
    partition, _, offset = rest.partition("/")
    if flow and partition.isdecimal() and offset.isdecimal():
        return EventRef(flow, int(partition), int(offset))
    return None


def place_of(failed_event: FailedEvent) -> str:
    """Return the place of a failed event as ``flow/partition/offset``."""
    return f"{failed_event.flow}/{failed_event.partition}/{failed_event.offset}"


async def _example_event(ledger: Ledger, groups: Sequence[FailedEventGroup]) -> FailedEvent | None:
    group = _dead_first(groups)
    return await failed_event_at(ledger, EventRef(group.flow, group.partition, group.offset))


def _dead_first(groups: Sequence[FailedEventGroup]) -> FailedEventGroup:
    """Return the group of dead letters of a cause, if there is one, else that of parked events."""
    return min(groups, key=lambda group: group.state)


def _root_cause(groups: Sequence[FailedEventGroup], example: FailedEvent | None) -> RootCause:
    last = example.failures[-1] if example and example.failures else None
    group, counts = _dead_first(groups), {member.state: member.count for member in groups}
    return RootCause(
        flow=group.flow,
        state=group.state,
        fingerprint=group.fingerprint,
        cause=title(last, group.fingerprint) if last else group.error or _WAITS_FOR_KEY,
        error=group.error,
        count=sum(counts.values()),
        dead=counts.get("dead", 0),
        parked=counts.get("parked", 0),
        first_since=min(member.first_since for member in groups),
        last_since=max(member.last_since for member in groups),
        example=f"{group.flow}/{group.partition}/{group.offset}",
        example_id=example.event_id if example else "",
        example_reason=last.reason if last else "",
    )
