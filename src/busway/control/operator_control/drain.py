"""The progress of a drain."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

import msgspec

from busway.delivery.operator_control import Drain
from busway.lane import Lane
from busway.ports import Ledger

PARKED_DUE_WITHIN = timedelta(minutes=1)
"""A drain waits for parked events that are due within this; later ones stay parked."""


class Remaining(msgspec.Struct, frozen=True):
    """The rest of a drain: events that are not yet read, and whether parked events are due soon."""

    backlog: int
    parked: bool = False


async def remaining(
    ledger: Ledger, flows: Collection[str], drain: Drain, at: datetime
) -> Remaining:
    """Return how much the flows have left of the events that were there when the drain began."""
    lanes = [lane for lane in await ledger.lanes() if lane.flow in flows]
    backlog = drain_backlog(lanes, drain)
    if backlog:
        return Remaining(backlog)
    soon = await ledger.due_flows(at + PARKED_DUE_WITHIN)
    return Remaining(0, parked=any(flow in soon for flow in flows))


def drain_backlog(lanes: Sequence[Lane], drain: Drain) -> int:
    """Return how many events lanes have to read to reach the targets of a drain."""
    return sum(max(0, drain.targets[lane.partition] - lane.cursor) for lane in lanes)
