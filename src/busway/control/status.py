"""Where every event of every flow is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import msgspec

from busway.control.record import breaker_records, flow_records
from busway.lane import Counts, Lane, is_replay
from busway.ports import Ledger, Log


class FlowStatus(msgspec.Struct, frozen=True):
    """One flow, all partitions together.

    ``accepted`` is how many events came since it began; it is always the sum of ``delivered``,
    ``filtered``, ``parked``, ``dead``, ``discarded`` and ``backlog``.
    """

    name: str
    accepted: int
    delivered: int
    filtered: int
    parked: int
    dead: int
    discarded: int
    backlog: int
    breaker: str = "closed"
    breaker_reason: str = ""
    destination: str = ""
    version: str = ""
    declared: bool = True
    """Whether the program that was started last has it."""


async def flow_statuses(log: Log, ledger: Ledger) -> Sequence[FlowStatus]:
    """Return the status of each flow that has a lane, by name; replays are no flows."""
    lanes = [lane for lane in await ledger.lanes() if not is_replay(lane.flow)]
    ends = [(await log.bounds(partition))[1] for partition in range(log.partitions)]
    flows, breakers = await flow_records(ledger), await breaker_records(ledger)
    by_flow: defaultdict[str, list[Lane]] = defaultdict(list)
    for lane in lanes:
        by_flow[lane.flow].append(lane)
    found = []
    for name, of_flow in by_flow.items():
        status = _status(name, of_flow, ends)
        if name in flows:
            status = msgspec.structs.replace(
                status,
                destination=flows[name].destination,
                version=flows[name].version,
                declared=flows[name].declared,
            )
        breaker = breakers.get(status.destination)
        if breaker is not None:
            status = msgspec.structs.replace(
                status, breaker=breaker.state, breaker_reason=breaker.reason
            )
        found.append(status)
    return found


def _status(name: str, lanes: Sequence[Lane], ends: Sequence[int]) -> FlowStatus:
    counts = sum((lane.counts for lane in lanes), Counts())
    accepted = sum(ends[lane.partition] - lane.start for lane in lanes)
    backlog = sum(ends[lane.partition] - lane.cursor for lane in lanes)
    return FlowStatus(name, accepted, *counts.values(), backlog)
