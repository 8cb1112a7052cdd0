"""Failed events: events that are parked or dead, their failures, and how they are resolved."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from busway.lane import EventRef

FailedEventState = Literal["parked", "dead"]
"""Waiting for its next attempt, or out of attempts."""


class Failure(msgspec.Struct, frozen=True, omit_defaults=True):
    """One failed attempt at an event.

    ``attempt`` counts from 1. ``stage`` is ``rule``, ``step`` or ``sink``. ``error`` is a stable
    name (an exception's type, ``http 500``), ``reason`` its text, ``traceback`` the Python
    traceback if there was one. ``version`` is the code version of the flow, ``took_ms`` the
    duration. A failure that is not ``counts_as_attempt`` used up no attempt: the next one has the
    same number.
    """

    attempt: int
    at: datetime
    stage: str
    error: str
    reason: str
    traceback: str | None = None
    version: str = ""
    took_ms: float | None = None
    counts_as_attempt: bool = True


class FailedEvent(msgspec.Struct, frozen=True):
    """An event that failed: a copy of it, its state, and every failed attempt at it.

    ``since`` is when it got its state: was first parked (or redriven), or died. ``attempts`` is the
    number of attempts used up. ``due`` is when a parked event is tried next, ``None`` while it
    waits behind an earlier event of its key (``key``, kept for ordered flows only). ``event_key``
    is the event's key in any flow. ``error`` and ``fingerprint`` are the class and the root cause
    of its last failure, to filter and group by. ``attempt_started_at`` is when the attempt in
    progress began; if it is set at a start, the process ended during that attempt.
    """

    flow: str
    partition: int
    offset: int
    event: bytes
    event_id: str
    state: FailedEventState
    since: datetime
    attempts: int
    due: datetime | None = None
    key: str | None = None
    failures: tuple[Failure, ...] = ()
    event_key: str | None = None
    error: str = ""
    fingerprint: str = ""
    attempt_started_at: datetime | None = None

    @property
    def ref(self) -> EventRef:
        return EventRef(self.flow, self.partition, self.offset)


class Resolution(msgspec.Struct, frozen=True):
    """A compare-and-set resolution of one failed event.

    ``attempts`` and ``state`` are the failed event's as they were read; if they have changed, the
    resolution is refused. ``outcome`` is ``delivered``, ``filtered`` or ``discarded`` (the failed
    event is removed), or a :class:`FailedEvent` that replaces it (after a redrive: a parked one).
    ``version`` is the code version that processed it; ``actor`` and ``reason`` are set if an
    operator resolved it. With ``event``, it is also refused if the failed event holds another
    event now.
    """

    flow: str
    partition: int
    offset: int
    attempts: int
    state: FailedEventState
    outcome: Literal["delivered", "filtered", "discarded"] | FailedEvent
    at: datetime
    version: str = ""
    actor: str = ""
    reason: str = ""
    event: bytes | None = None

    @property
    def ref(self) -> EventRef:
        return EventRef(self.flow, self.partition, self.offset)


class ResolvedEvent(msgspec.Struct, frozen=True):
    """The history of a failed event that is resolved, without its payload.

    Kept for a failed event that has a failure, or that a person resolved.
    """

    flow: str
    partition: int
    offset: int
    event_id: str
    outcome: Literal["delivered", "filtered", "discarded"]
    at: datetime
    attempts: int
    failures: tuple[Failure, ...] = ()
    event_key: str | None = None
    version: str = ""
    actor: str = ""
    reason: str = ""

    @property
    def ref(self) -> EventRef:
        return EventRef(self.flow, self.partition, self.offset)


class FailedEventQuery(msgspec.Struct, frozen=True):
    """Selects failed events, in order of flow, partition and offset.

    ``after`` is the last event of the page before. ``due_by`` selects parked events that are due by
    then, in order of due time, without pages (no ``after``). ``partitions`` selects several lanes
    of a flow, ``keys`` parked events that keep the order of one of these keys. ``since_from``
    (inclusive) and ``since_to`` (exclusive) limit :attr:`FailedEvent.since`.
    """

    state: FailedEventState | None = None
    flow: str | None = None
    partition: int | None = None
    due_by: datetime | None = None
    event_id: str | None = None
    after: EventRef | None = None
    limit: int = 100
    event_key: str | None = None
    error: str | None = None
    fingerprint: str | None = None
    since_from: datetime | None = None
    since_to: datetime | None = None
    partitions: tuple[int, ...] | None = None
    keys: tuple[str, ...] | None = None


class FailedEventGroup(msgspec.Struct, frozen=True):
    """Failed events of one flow and state with the same root cause.

    ``first_since`` and ``last_since`` are the earliest and the latest ``since`` of them;
    ``partition`` and ``offset`` locate one of them, as a sample.
    """

    flow: str
    state: FailedEventState
    fingerprint: str
    error: str
    count: int
    first_since: datetime
    last_since: datetime
    partition: int
    offset: int
