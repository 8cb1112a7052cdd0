"""Who works what: the workers of an installation, and the flows that nobody works."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from busway.clock import Clock
from busway.control.context import ControlContext
from busway.control.worker import DUTY, WorkerRecord, worker_records
from busway.delivery.rebalance import DEAD_AFTER_S
from busway.lane import Lane, is_replay_lane
from busway.ports import Ledger

GONE_AFTER = timedelta(seconds=10)
"""How old the last beat of one may be that is not gone; it is by the worker's own clock."""

FRESH_S = 60.0
"""How old what a worker tells may be for it to be taken for alive at once."""
POLL_INTERVAL_S = 0.5

WorkerState = Literal["working", "leaving", "gone"]


class WorkerStatus(msgspec.Struct, frozen=True):
    """One worker: where it runs, when it beat last, and what is its.

    ``flows`` are those that its flows file has, with their code versions; ``lanes`` are the
    partitions of each that it works now, ``duties`` what it does once for all. What a worker that
    is ``gone`` has goes to the others within seconds; one that is ``leaving`` stops in order.
    """

    id: str
    host: str
    pid: int
    state: WorkerState
    started_at: datetime
    heartbeat_at: datetime
    flows: Mapping[str, str]
    lanes: Mapping[str, Sequence[int]]
    duties: Sequence[str] = ()


class ClusterStatus(msgspec.Struct, frozen=True):
    """The workers, by host and process, and the flows of the ledger that none of them works."""

    workers: Sequence[WorkerStatus] = ()
    unassigned_flows: Sequence[str] = ()


async def cluster_status(control: ControlContext) -> ClusterStatus:
    """Return who works what; nobody where one process has the installation for itself."""
    if not control.shared:
        return ClusterStatus()
    ledger, now = control.ledger, control.clock.now()
    known, lanes = await worker_records(ledger), await ledger.lanes()
    duties = await ledger.get_values(DUTY)
    found = [
        _worker_status(id, one, lanes, _duties_of(id, duties), now) for id, one in known.items()
    ]
    found.sort(key=lambda one: (one.host, one.pid, one.id))
    worked = {flow for one in found if one.state != "gone" for flow in one.flows}
    return ClusterStatus(
        found, sorted({lane.flow for lane in lanes if not is_replay_lane(lane.flow)} - worked)
    )


async def assigned_flows(ledger: Ledger, clock: Clock, flows: Collection[str]) -> set[str]:
    """Return those of ``flows`` that some worker has who may be alive.

    It may who told of itself within the last minute, as far as clocks agree. The beat of one who
    does not seem to is watched until it moves, or has stood still for so long that it is dead.
    """
    known, now = await worker_records(ledger), clock.now()
    alive = {id for id, one in known.items() if abs((now - one.at).total_seconds()) < FRESH_S}
    latest, end = known, clock.monotonic() + DEAD_AFTER_S
    while _is_uncertain(latest, alive, set(flows)) and clock.monotonic() < end:
        await clock.sleep(POLL_INTERVAL_S)
        latest = await worker_records(ledger)
        alive |= {
            id
            for id, one in latest.items()
            if id not in known or one.heartbeat != known[id].heartbeat
        }
    return _flows_of_workers(latest, alive) & set(flows)


def _is_uncertain(known: Mapping[str, WorkerRecord], alive: set[str], flows: set[str]) -> bool:
    """Say whether somebody who may be dead has one of the flows that nobody alive has."""
    return bool(
        _flows_of_workers(known, known.keys() - alive) & flows - _flows_of_workers(known, alive)
    )


def _flows_of_workers(known: Mapping[str, WorkerRecord], some: set[str]) -> set[str]:
    return {flow for id in some & known.keys() for flow in known[id].flows}


def _worker_status(
    id: str, one: WorkerRecord, lanes: Sequence[Lane], duties: Sequence[str], now: datetime
) -> WorkerStatus:
    state: WorkerState = "leaving" if one.leaving else "working"
    if now - one.at > GONE_AFTER:
        state = "gone"
    mine: defaultdict[str, list[int]] = defaultdict(list)
    for lane in lanes:
        if lane.worker == id:
            mine[lane.flow].append(lane.partition)
    return WorkerStatus(
        id, one.host, one.pid, state, one.started_at, one.at, one.flows, mine, duties
    )


def _duties_of(id: str, duties: Mapping[str, bytes]) -> Sequence[str]:
    return sorted(name.removeprefix(DUTY) for name, who in duties.items() if who == id.encode())
