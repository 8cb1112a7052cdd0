"""What the ledger keeps of a lane: its counts, its troubles, and what became of its events."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from busway.outcome import Failure

State = Literal["parked", "dead"]
"""Where an exception stands: waiting for its next attempt, or out of attempts."""


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
    """One flow on one partition: where it began, what it reads next, and its counts."""

    flow: str
    partition: int
    start: int
    cursor: int
    counts: Counts = Counts()


class Trouble(msgspec.Struct, frozen=True):
    """An event that failed: a copy of it, where it stands, and every failed attempt at it.

    Identified by flow, partition and offset. ``attempts`` is how many were used up; ``due`` is
    when a parked one is tried next, ``None`` while it waits behind an earlier event of its key
    (``key``, kept for ordered flows only).
    """

    flow: str
    partition: int
    offset: int
    event: bytes
    event_id: str
    state: State
    since: datetime
    attempts: int
    due: datetime | None = None
    key: str | None = None
    failures: tuple[Failure, ...] = ()


class Settlement(msgspec.Struct, frozen=True):
    """What became of the events of a lane from ``start`` up to ``end``, by ``version`` of its flow.

    ``counts`` adds up to ``end - start``; ``troubles`` are its parked and dead events.
    """

    flow: str
    partition: int
    start: int
    end: int
    at: datetime
    version: str
    counts: Counts
    troubles: tuple[Trouble, ...] = ()


class Settled(msgspec.Struct, frozen=True):
    """A range of settlements of one lane, merged: who did it, when, and the counts."""

    flow: str
    partition: int
    start: int
    end: int
    version: str
    first_at: datetime
    last_at: datetime
    counts: Counts


class Verdict(msgspec.Struct, frozen=True):
    """What became of one troubled event, compared and set.

    ``attempts`` is what the trouble had when it was read; the verdict is refused when it has
    changed since. ``became`` is ``delivered``, ``filtered`` or ``discarded`` (the trouble goes),
    or a :class:`Trouble` that takes its place (a redrive: one that is parked). ``at`` is when.
    """

    flow: str
    partition: int
    offset: int
    attempts: int
    state: State
    became: Literal["delivered", "filtered", "discarded"] | Trouble
    at: datetime


class Query(msgspec.Struct, frozen=True):
    """Which troubles: of a state, a flow, due by a time; in order of flow, partition and offset.

    ``after`` is the (flow, partition, offset) of the last one of the page before. ``due_by`` asks
    for parked ones that are due by then, by due time first: without ``after``, as it has no pages.
    """

    state: State | None = None
    flow: str | None = None
    partition: int | None = None
    due_by: datetime | None = None
    event_id: str | None = None
    after: tuple[str, int, int] | None = None
    limit: int = 100
