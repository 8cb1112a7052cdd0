"""What the ledger keeps: lanes with their counts and troubles, and what people changed."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

import msgspec
from msgspec import UNSET, Raw, UnsetType

from busway.outcome import Failure

FailedEventState = Literal["parked", "dead"]
"""Where an exception stands: waiting for its next attempt, or out of attempts."""


MAX_RANGE_SPAN = timedelta(minutes=10)
"""How much time one settled range may span: what happened to an event is known that exactly."""


REPLAY_SEPARATOR = "@"
"""What parts a flow's name from a replay's id in the name of the replay's own lanes."""


def flow_of(name: str) -> str:
    """Return the flow that lanes of a name belong to: for a replay's lanes the flow it replays.

    >>> flow_of("orders"), flow_of("orders@r0a1b2c3d")
    ('orders', 'orders')
    """
    return name.partition(REPLAY_SEPARATOR)[0]


def is_replay_lane(name: str) -> bool:
    """Say whether lanes of this name are those of a replay."""
    return REPLAY_SEPARATOR in name


class Counts(msgspec.Struct, frozen=True):
    """How many events of a lane ended where."""

    delivered: int = 0
    filtered: int = 0
    parked: int = 0
    dead: int = 0
    discarded: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(a + b for a, b in zip(self.values(), other.values(), strict=True)))

    def values(self) -> tuple[int, int, int, int, int]:
        return (self.delivered, self.filtered, self.parked, self.dead, self.discarded)

    @property
    def total(self) -> int:
        return sum(self.values())


class Lane(msgspec.Struct, frozen=True):
    """One flow on one partition: where it began, what it reads next, and its counts.

    ``worker`` has it now, ``None`` for nobody; ``fencing_token`` is the number of that lease, one
    more with each. A lane that nobody ever leased has the epoch 0.
    """

    flow: str
    partition: int
    start: int
    cursor: int
    counts: Counts = Counts()
    worker: str | None = None
    fencing_token: int = 0


class LeaseRequest(msgspec.Struct, frozen=True):
    """A lane given to a worker (``None``: given up), where its epoch is still as it was seen."""

    flow: str
    partition: int
    fencing_token: int
    worker: str | None


class FailedEvent(msgspec.Struct, frozen=True):
    """An event that failed: a copy of it, where it stands, and every failed attempt at it.

    Identified by flow, partition and offset. ``since`` is when it came to stand so: was parked
    first (or redriven), or died. ``attempts`` is how many were used up; ``due`` is
    when a parked one is tried next, ``None`` while it waits behind an earlier event of its key
    (``key``, kept for ordered flows only). ``event_key`` is the event's key in any flow. ``error``
    and ``fingerprint`` are the class and the root cause of its last failure, to filter and group
    by. ``attempt_started_at`` is when the attempt that is under way began: found after a start, it
    means that the process ended in the middle of it.
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


class Settlement(msgspec.Struct, frozen=True):
    """What became of the events of a lane from ``start`` up to ``end``, by ``version`` of its flow.

    ``counts`` adds up to ``end - start``; ``failed_events`` are its parked and dead events.
    ``fencing_token`` is the lease under which it was done (the fencing number).
    """

    flow: str
    partition: int
    start: int
    end: int
    at: datetime
    version: str
    counts: Counts
    failed_events: tuple[FailedEvent, ...] = ()
    fencing_token: int = 0


class SettledRange(msgspec.Struct, frozen=True):
    """A range of settlements of one lane, merged: who did it, when, and the counts."""

    flow: str
    partition: int
    start: int
    end: int
    version: str
    first_at: datetime
    last_at: datetime
    counts: Counts


class Resolution(msgspec.Struct, frozen=True):
    """What became of one troubled event, compared and set.

    ``attempts`` is what the trouble had when it was read; the verdict is refused when it has
    changed since. ``outcome`` is ``delivered``, ``filtered`` or ``discarded`` (the trouble goes),
    or a :class:`FailedEvent` that takes its place (a redrive: one that is parked). ``at`` is when,
    ``version`` the code version that did it; of an operator's verdict ``actor`` and ``reason``.
    With ``event`` it is refused too when the trouble holds another event by now.
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


class ResolvedEvent(msgspec.Struct, frozen=True):
    """What was a trouble and is none any more: the history of an event that failed.

    Kept without its payload, for a trouble that had a failure, or that a person resolved.
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


class FailedEventQuery(msgspec.Struct, frozen=True):
    """Which troubles: of a state, a flow, due by a time; in order of flow, partition and offset.

    ``after`` is the (flow, partition, offset) of the last one of the page before. ``due_by`` asks
    for parked ones that are due by then, by due time first: without ``after``, as it has no pages.
    ``partitions`` asks for those of several lanes of a flow, ``keys`` for parked ones that keep to
    the order of one of these keys.
    ``since_from`` (inclusive) and ``since_to`` (exclusive) are about when it became a trouble.
    """

    state: FailedEventState | None = None
    flow: str | None = None
    partition: int | None = None
    due_by: datetime | None = None
    event_id: str | None = None
    after: tuple[str, int, int] | None = None
    limit: int = 100
    event_key: str | None = None
    error: str | None = None
    fingerprint: str | None = None
    since_from: datetime | None = None
    since_to: datetime | None = None
    partitions: tuple[int, ...] | None = None
    keys: tuple[str, ...] | None = None


class FailedEventGroup(msgspec.Struct, frozen=True):
    """Troubles of one flow and state with the same root cause.

    ``first_since`` and ``last_since`` are when the first and the last of them became one;
    ``partition`` and ``offset`` are the place of one of them, to look at.
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


class ValueChange(msgspec.Struct, frozen=True):
    """A new value of a named value, ``None`` to forget it.

    With ``expected`` it is made only where the value is that now (``None``: where there is none).
    """

    name: str
    value: bytes | None
    expected: bytes | UnsetType | None = UNSET


class AuditRecord(msgspec.Struct, frozen=True):
    """What a person changed: who, when, what to what, and how it was before and after.

    ``target`` is a path like ``flow/orders`` or ``dead/orders``; ``seq`` is given by the ledger and
    rises. ``before`` and ``after`` are JSON.
    """

    at: datetime
    actor: str
    action: str
    target: str
    before: Raw | None = None
    after: Raw | None = None
    reason: str = ""
    seq: int = 0
