"""Who works which lanes: each worker decides for itself, from what all of them see. Pure.

A worker is alive while its beat goes on, as seen by whoever watches it on a clock of its own: no
two clocks are compared. Lanes stay where they are as long as that is fair; what nobody alive has is
taken by those who have the least.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from busway.lane import Lane, LeaseRequest

DEAD_AFTER_S = 3.0
"""How long a beat may stay the same before its worker counts as dead."""


class ObservedHeartbeat(msgspec.Struct, frozen=True):
    """A worker's beat as it was seen last, and since when it is that, on the watcher's clock."""

    heartbeat: int
    since: float


def observe_heartbeats(
    before: Mapping[str, ObservedHeartbeat], heartbeats: Mapping[str, int], now: float
) -> Mapping[str, ObservedHeartbeat]:
    """Return what is known of each worker after a look at the beats at ``now``."""
    seen: dict[str, ObservedHeartbeat] = {}
    for worker, beat in heartbeats.items():
        old = before.get(worker)
        seen[worker] = (
            old if old is not None and old.heartbeat == beat else ObservedHeartbeat(beat, now)
        )
    return seen


def live_workers(heartbeats: Mapping[str, ObservedHeartbeat], now: float, worker: str) -> set[str]:
    """Return the workers that are alive; whoever asks is."""
    return {worker} | {name for name, one in heartbeats.items() if now - one.since < DEAD_AFTER_S}


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
    """Return how many lanes each may have: as many as the others, or one more.

    The one more is for those who have it already, so that nobody has to move for it.
    """
    held = {worker: sum(lane.worker == worker for lane in lanes) for worker in workers}
    least, more = divmod(len(lanes), len(workers))
    ranked = sorted(workers, key=lambda worker: (-min(held[worker], least + 1), worker))
    return {worker: least + (n < more) for n, worker in enumerate(ranked)}
