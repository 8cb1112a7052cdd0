"""What those before left behind in a data directory, whose lock says that all of them have ended.

A process that works alone keeps that it runs; workers that share have leases and beats. Either may
come after the other, and after an unclean end of it.
"""

from __future__ import annotations

from collections.abc import Sequence

from busway.control.record import IN_FLIGHT, RUNNING
from busway.control.worker import DUTY, WORKER
from busway.lane import Lane, LeaseRequest, is_replay_lane
from busway.named_value import ValueChange
from busway.ports import Ledger
from busway.runtime.lease.duty import REPLAY_DUTY

ALONE = "alone"
"""The worker that has the lanes which a process that worked alone left in the middle."""


async def take_over(ledger: Ledger) -> None:
    """Have workers that are to come take all lanes at once: with care, where one was left so.

    Nobody waits for the beats of the dead. A lane that still has a worker was not given up in
    order, and whoever takes it takes care.
    """
    lanes = [one for one in await ledger.lanes() if not is_replay_lane(one.flow)]
    if RUNNING in await ledger.get_values(RUNNING):
        await _set_holder(ledger, [one for one in lanes if one.worker is None], ALONE)
        replays = {DUTY + REPLAY_DUTY + one.flow for one in lanes}
        await ledger.change_values([ValueChange(name, ALONE.encode()) for name in replays])
    elif not any(one.worker for one in lanes):
        await ledger.change_values(
            [ValueChange(name, None) for name in await ledger.get_values(IN_FLIGHT)]
        )
    await ledger.change_values([*await _forget_workers(ledger), ValueChange(RUNNING, None)])


async def release_leases(ledger: Ledger, lanes: Sequence[Lane]) -> None:
    """Give back what workers had that have ended, and forget them."""
    await _set_holder(ledger, lanes, None)
    await ledger.change_values(await _forget_workers(ledger))


async def _forget_workers(ledger: Ledger) -> list[ValueChange]:
    return [ValueChange(name, None) for name in await ledger.get_values(WORKER)]


async def _set_holder(ledger: Ledger, lanes: Sequence[Lane], worker: str | None) -> None:
    if lanes:
        await ledger.lease(
            [LeaseRequest(one.flow, one.partition, one.fencing_token, worker) for one in lanes]
        )
