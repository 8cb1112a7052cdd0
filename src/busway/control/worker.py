"""The records of the workers of an installation, written with every heartbeat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from busway.named_value import ValueChange
from busway.ports import Ledger

WORKER = "worker/"
DUTY = "duty/"
"""Prefix of the name of a duty that one worker has; the value is the worker."""


class WorkerRecord(msgspec.Struct, frozen=True):
    """A worker: its heartbeat, which increases while it is alive, and the flows that it can work.

    ``flows`` maps their names to code versions, ``at`` is the time of the last heartbeat on the
    worker's clock. A worker that is ``leaving`` finishes its in-flight events and takes no others.
    ``replays`` are the flows to whose sinks it replays now, whether it has their lanes or not.
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
    """Delete the record of a worker that has ended, so that others need not watch its heartbeat."""
    await ledger.change_values([ValueChange(WORKER + worker, None)])


async def worker_records(ledger: Ledger) -> Mapping[str, WorkerRecord]:
    """Return the record of each worker, by its id; dead workers remain for a minute."""
    return decode_heartbeats(await last_heartbeats(ledger))


async def last_heartbeats(ledger: Ledger) -> Mapping[str, bytes]:
    """Return the encoded last heartbeat of each worker, by its id."""
    values = await ledger.get_values(WORKER)
    return {name.removeprefix(WORKER): value for name, value in values.items()}


def decode_heartbeats(heartbeats: Mapping[str, bytes]) -> Mapping[str, WorkerRecord]:
    """Decode the last heartbeats of workers."""
    return {id: msgspec.json.decode(value, type=WorkerRecord) for id, value in heartbeats.items()}


def expect_no_heartbeat(worker: str, heartbeats: Mapping[str, bytes]) -> ValueChange:
    """Return a change that is refused if a worker has sent a heartbeat since ``heartbeats``.

    In the same transaction it prevents a takeover from a worker that has just come back.
    """
    return ValueChange(WORKER + worker, heartbeats.get(worker), expected=heartbeats.get(worker))
