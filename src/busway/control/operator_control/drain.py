"""How far a drain has come."""

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
    """What a drain has left: events not read yet, and whether parked ones are due soon."""

    backlog: int
    parked: bool = False


async def remaining(
    ledger: Ledger, flows: Collection[str], drain: Drain, at: datetime
) -> Remaining:
    """Return what the flows have left of what was there when they were asked to drain."""
    lanes = [lane for lane in await ledger.lanes() if lane.flow in flows]
    backlog = drain_backlog(lanes, drain)
    if backlog:
        return Remaining(backlog)
    soon = await ledger.due_flows(at + PARKED_DUE_WITHIN)
    return Remaining(0, parked=any(flow in soon for flow in flows))


def drain_backlog(lanes: Sequence[Lane], drain: Drain) -> int:
    """Return how many events lanes have to read until all are at the drain's goals."""
    return sum(max(0, drain.targets[lane.partition] - lane.cursor) for lane in lanes)
