"""The workers of an installation, their flows and lanes, and the flows that no worker has."""

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
"""The age of the last heartbeat after which a worker is gone; it is by the worker's clock."""

FRESH_S = 60.0
"""The age of a heartbeat up to which its worker counts as alive without further checks."""
POLL_INTERVAL_S = 0.5

WorkerState = Literal["working", "leaving", "gone"]


class WorkerStatus(msgspec.Struct, frozen=True):
    """A worker: where it runs, its last heartbeat, and its assignments.

    ``flows`` are the flows of its flows file, with their code versions; ``lanes`` are the
    partitions of each flow that it works now, ``duties`` its tasks for the whole installation.
    Other workers take over from a worker that is ``gone`` within seconds; a worker that is
    ``leaving`` is shutting down.
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
    """The workers, by host and process, and the flows of the ledger that no worker has."""

    workers: Sequence[WorkerStatus] = ()
    unassigned_flows: Sequence[str] = ()


async def cluster_status(control: ControlContext) -> ClusterStatus:
    """Return the workers and their assignments; empty if one process runs the installation."""
    if not control.shared:
        return ClusterStatus()
    ledger, now = control.ledger, control.clock.now()
    records, lanes = await worker_records(ledger), await ledger.lanes()
    duties = await ledger.get_values(DUTY)
    workers = [
        _worker_status(id, record, lanes, _duties_of(id, duties), now)
        for id, record in records.items()
    ]
    workers.sort(key=lambda worker: (worker.host, worker.pid, worker.id))
    assigned = {flow for worker in workers if worker.state != "gone" for flow in worker.flows}
    return ClusterStatus(
        workers, sorted({lane.flow for lane in lanes if not is_replay_lane(lane.flow)} - assigned)
    )


async def assigned_flows(ledger: Ledger, clock: Clock, flows: Collection[str]) -> set[str]:
    """Return those of ``flows`` that are assigned to a worker that may be alive.

    A worker whose last heartbeat is less than a minute old may be alive, as far as clocks agree.
    The heartbeats of the others are watched until they change or their workers count as dead.
    """
    known, now = await worker_records(ledger), clock.now()
    alive = {id for id, record in known.items() if abs((now - record.at).total_seconds()) < FRESH_S}
    latest, end = known, clock.monotonic() + DEAD_AFTER_S
    while _is_uncertain(latest, alive, set(flows)) and clock.monotonic() < end:
        await clock.sleep(POLL_INTERVAL_S)
        latest = await worker_records(ledger)
        alive |= {
            id
            for id, record in latest.items()
            if id not in known or record.heartbeat != known[id].heartbeat
        }
    return _flows_of_workers(latest, alive) & set(flows)


def _is_uncertain(known: Mapping[str, WorkerRecord], alive: set[str], flows: set[str]) -> bool:
    """Return whether one of the flows is assigned only to workers that may be dead."""
    return bool(
        _flows_of_workers(known, known.keys() - alive) & flows - _flows_of_workers(known, alive)
    )


def _flows_of_workers(known: Mapping[str, WorkerRecord], some: set[str]) -> set[str]:
    return {flow for id in some & known.keys() for flow in known[id].flows}


def _worker_status(
    id: str, record: WorkerRecord, lanes: Sequence[Lane], duties: Sequence[str], now: datetime
) -> WorkerStatus:
    state: WorkerState = "leaving" if record.leaving else "working"
    if now - record.at > GONE_AFTER:
        state = "gone"
    partitions: defaultdict[str, list[int]] = defaultdict(list)
    for lane in lanes:
        if lane.worker == id:
            partitions[lane.flow].append(lane.partition)
    return WorkerStatus(
        id,
        record.host,
        record.pid,
        state,
        record.started_at,
        record.at,
        record.flows,
        partitions,
        duties,
    )


def _duties_of(id: str, duties: Mapping[str, bytes]) -> Sequence[str]:
    return sorted(
        name.removeprefix(DUTY) for name, worker in duties.items() if worker == id.encode()
    )
