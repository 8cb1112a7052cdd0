"""Lanes: one flow on one partition, what it is called, where it stands and what it counted."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

REPLAY_SEPARATOR = "@"
"""Separates the flow's name from the replay's id in the name of a replay's lanes."""


def flow_of(name: str) -> str:
    """Return the flow that the lanes of this name belong to; for a replay, the replayed flow.

    >>> flow_of("orders"), flow_of("orders@r0a1b2c3d")
    ('orders', 'orders')
    """
    return name.partition(REPLAY_SEPARATOR)[0]


def is_replay_lane(name: str) -> bool:
    """Return whether lanes of this name belong to a replay."""
    return REPLAY_SEPARATOR in name


class LaneId(NamedTuple):
    """The identity of a lane within an installation, ordered by flow and partition."""

    flow: str
    partition: int


class EventRef(NamedTuple):
    """A reference to an event of a lane, ordered by flow, partition and offset."""

    flow: str
    partition: int
    offset: int


class Counts(msgspec.Struct, frozen=True):
    """The number of a lane's events by outcome."""

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


class FailedEventCounts(msgspec.Struct, frozen=True):
    """The number of a lane's failed events by state."""

    parked: int = 0
    dead: int = 0


class Lane(msgspec.Struct, frozen=True):
    """One flow on one partition: its first offset, the next offset to read, and its counts.

    ``worker`` is the worker that holds its lease, ``None`` if there is none. Each lease increments
    ``fencing_token``; it is 0 for a lane that was never leased.
    """

    flow: str
    partition: int
    start: int
    cursor: int
    counts: Counts = Counts()
    worker: str | None = None
    fencing_token: int = 0

    @property
    def id(self) -> LaneId:
        return LaneId(self.flow, self.partition)


class LeaseRequest(msgspec.Struct, frozen=True):
    """A request to lease a lane to ``worker`` (``None``: to release it).

    It is granted only if the lane's fencing token is still ``fencing_token``.
    """

    flow: str
    partition: int
    fencing_token: int
    worker: str | None

    @property
    def lane_id(self) -> LaneId:
        return LaneId(self.flow, self.partition)
