"""What those before left behind in a data directory, whose lock says that all of them have ended.

A process that works alone keeps that it runs; workers that share have leases and beats. Either may
come after the other, and after an unclean end of it.
"""

from __future__ import annotations

from collections.abc import Sequence

from busway.control.record import HAND, RUNNING
from busway.control.worker import DUTY, WORKER
from busway.lane import Change, Lane, Lease, is_replay
from busway.ports import Ledger
from busway.runtime.lease.duty import REPLAY

ALONE = "alone"
"""The worker that has the lanes which a process that worked alone left in the middle."""


async def inherit(ledger: Ledger) -> None:
    """Have workers that are to come take all lanes at once: with care, where one was left so.

    Nobody waits for the beats of the dead. A lane that still has a worker was not given up in
    order, and whoever takes it takes care.
    """
    lanes = [one for one in await ledger.lanes() if not is_replay(one.flow)]
    if RUNNING in await ledger.get(RUNNING):
        await _lease(ledger, [one for one in lanes if one.worker is None], ALONE)
        replays = {DUTY + REPLAY + one.flow for one in lanes}
        await ledger.change([Change(name, ALONE.encode()) for name in replays])
    elif not any(one.worker for one in lanes):
        await ledger.change([Change(name, None) for name in await ledger.get(HAND)])
    await ledger.change([*await _beats(ledger), Change(RUNNING, None)])


async def release(ledger: Ledger, lanes: Sequence[Lane]) -> None:
    """Give back what workers had that have ended, and forget them."""
    await _lease(ledger, lanes, None)
    await ledger.change(await _beats(ledger))


async def _beats(ledger: Ledger) -> list[Change]:
    return [Change(name, None) for name in await ledger.get(WORKER)]


async def _lease(ledger: Ledger, lanes: Sequence[Lane], worker: str | None) -> None:
    if lanes:
        await ledger.lease([Lease(one.flow, one.partition, one.epoch, worker) for one in lanes])
