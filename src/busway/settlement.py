"""Settlements: the outcome of a range of a lane's events, as it is stored and as it is merged."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from busway.failed_event import FailedEvent
from busway.lane import Counts

MAX_RANGE_SPAN = timedelta(minutes=10)
"""The longest time that one settled range spans: how exactly the time of an event is known."""


class OffsetRange(msgspec.Struct, frozen=True):
    """The offsets of one partition from ``start`` up to, but not including, ``end``."""

    partition: int
    start: int
    end: int


class Settlement(msgspec.Struct, frozen=True):
    """The outcome of a lane's events from ``start`` up to ``end``, by ``version`` of its flow.

    ``counts`` adds up to ``end - start``; ``failed_events`` are its parked and dead events.
    ``fencing_token`` is that of the lease under which the events were processed.
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
    """Adjacent settlements of one lane and version, merged: when they were made, and the counts."""

    flow: str
    partition: int
    start: int
    end: int
    version: str
    first_at: datetime
    last_at: datetime
    counts: Counts
