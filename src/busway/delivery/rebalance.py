"""Assignment of lanes to workers: each worker decides for itself from shared state. Pure.

A worker is alive while its heartbeat changes, as observed by each other worker on its own clock:
clocks are never compared. Lanes stay with their worker as long as that is fair; lanes without a
live worker are taken by the workers with the fewest lanes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from busway.lane import Lane, LeaseRequest

DEAD_AFTER_S = 3.0
"""How long a heartbeat may stay the same before its worker counts as dead."""


class ObservedHeartbeat(msgspec.Struct, frozen=True):
    """A worker's last observed heartbeat, and since when it has it, on the observer's clock."""

    heartbeat: int
    since: float


def observe_heartbeats(
    before: Mapping[str, ObservedHeartbeat], heartbeats: Mapping[str, int], now: float
) -> Mapping[str, ObservedHeartbeat]:
    """Return the observed heartbeat of each worker at ``now``."""
    observed: dict[str, ObservedHeartbeat] = {}
    for worker, heartbeat in heartbeats.items():
        previous = before.get(worker)
        observed[worker] = (
            previous
            if previous is not None and previous.heartbeat == heartbeat
            else ObservedHeartbeat(heartbeat, now)
        )
    return observed


def live_workers(heartbeats: Mapping[str, ObservedHeartbeat], now: float, worker: str) -> set[str]:
    """Return the live workers, always including ``worker`` itself."""
    recent = (name for name, seen in heartbeats.items() if now - seen.since < DEAD_AFTER_S)
    return {worker, *recent}


class LeaseChanges(msgspec.Struct, frozen=True):
    """The leases that a worker should acquire, and those that it should release."""

    acquire: Sequence[LeaseRequest] = ()
    release: Sequence[LeaseRequest] = ()


def rebalance(lanes: Sequence[Lane], workers: set[str], worker: str) -> LeaseChanges:
    """Return how ``worker`` should change its leases.

    ``lanes`` are the lanes that all of ``workers`` can process. A lane is released only if another
    worker lacks one, so that lanes do not move back and forth.
    """
    share = _fair_shares(lanes, workers)[worker]
    held = [lane for lane in lanes if lane.worker == worker]
    free = [lane for lane in lanes if lane.worker not in workers]
    missing = max(share - len(held), 0)
    return LeaseChanges(
        [_lease_request(lane, worker) for lane in free[:missing]],
        [_lease_request(lane, None) for lane in held[share:]],
    )


def _lease_request(lane: Lane, worker: str | None) -> LeaseRequest:
    return LeaseRequest(lane.flow, lane.partition, lane.fencing_token, worker)


def _fair_shares(lanes: Sequence[Lane], workers: set[str]) -> Mapping[str, int]:
    """Return how many lanes each worker may have: as many as the others, or one more.

    The workers with the most lanes get the additional ones, so that fewer lanes move.
    """
    held = {worker: sum(lane.worker == worker for lane in lanes) for worker in workers}
    least, more = divmod(len(lanes), len(workers))
    ranked = sorted(workers, key=lambda worker: (-min(held[worker], least + 1), worker))
    return {worker: least + (n < more) for n, worker in enumerate(ranked)}
