"""The workers of an installation: what each tells of itself in the ledger, with every beat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from busway.named_value import ValueChange
from busway.ports import Ledger

WORKER = "worker/"
DUTY = "duty/"
"""Before the name of a duty that one worker has for all; the value is the worker."""


class WorkerRecord(msgspec.Struct, frozen=True):
    """One worker: its beat, which rises as long as it lives, and the flows that it can work.

    ``flows`` are their code versions by name, ``at`` is when it beat last, on its own clock.
    ``leaving`` is one that finishes what it has in hand and takes nothing any more. ``replays`` are
    the flows to whose sinks it replays now, whether it has lanes of them or not.
    """

    heartbeat: int
    at: datetime
    started_at: datetime
    host: str
    pid: int
    flows: Mapping[str, str] = {}
    leaving: bool = False
    replays: Sequence[str] = ()


async def forget_worker(ledger: Ledger, worker: str) -> None:
    """Forget a worker that is known to have ended, so that others need not watch its beat."""
    await ledger.change_values([ValueChange(WORKER + worker, None)])


async def worker_records(ledger: Ledger) -> Mapping[str, WorkerRecord]:
    """Return what is kept of each worker, by its id; those that died are there for a minute."""
    return decode_heartbeats(await last_heartbeats(ledger))


async def last_heartbeats(ledger: Ledger) -> Mapping[str, bytes]:
    """Return what each worker told with its last beat, by its id, as it is kept."""
    found = await ledger.get_values(WORKER)
    return {name.removeprefix(WORKER): value for name, value in found.items()}


def decode_heartbeats(heartbeats: Mapping[str, bytes]) -> Mapping[str, WorkerRecord]:
    """Return what workers told with their last beats."""
    return {id: msgspec.json.decode(value, type=WorkerRecord) for id, value in heartbeats.items()}


def expect_no_heartbeat(worker: str, heartbeats: Mapping[str, bytes]) -> ValueChange:
    """Return the change of nothing that is refused where a worker has beaten since these beats.

    With it in the same transaction nothing is taken from one who comes back just then.
    """
    return ValueChange(WORKER + worker, heartbeats.get(worker), expected=heartbeats.get(worker))
