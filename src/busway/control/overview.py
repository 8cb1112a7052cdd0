"""The overview of an installation: the process, the log, the flows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from importlib.metadata import version

import msgspec

from busway.control.cluster import ClusterStatus, cluster_status
from busway.control.conservation_check import check_conservation
from busway.control.context import ControlContext
from busway.control.flow.status import FlowStatus, current_statuses
from busway.control.record import StuckRecord, stuck_records
from busway.control.replay.operation import Replay, unfinished_replays


class PartitionStatus(msgspec.Struct, frozen=True):
    """A partition of the log: the first kept offset, and the end."""

    partition: int
    first: int
    end: int


class LogStatus(msgspec.Struct, frozen=True):
    """The log: its identity, its size, and its partitions."""

    identity: str
    size_bytes: int
    partitions: tuple[PartitionStatus, ...]


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """The running program and its start (``null``: none runs), the log, the flows, and the workers.

    ``stuck`` are the loops that keep failing, of flows and of Busway itself. ``replays`` are the
    replays that are running or have failed events of their own.
    """

    version: str
    at: datetime
    started_at: datetime | None
    app: str | None
    log: LogStatus
    flows: Sequence[FlowStatus]
    cluster: ClusterStatus = ClusterStatus()
    stuck: Sequence[StuckRecord] = ()
    replays: Sequence[Replay] = ()


class CheckResult(msgspec.Struct, frozen=True):
    """Whether every event of every flow is in exactly one state, and a line for each fault."""

    ok: bool
    faults: Sequence[str] = ()


async def overview(control: ControlContext) -> Overview:
    """Return the overview of the installation."""
    log, program = control.log, control.program()
    bounds = [await log.bounds(partition) for partition in range(log.partitions)]
    partitions = tuple(PartitionStatus(number, *ends) for number, ends in enumerate(bounds))
    return Overview(
        version=version("busway"),
        at=control.clock.now(),
        started_at=control.started_at,
        app=None if program is None else program.name,
        log=LogStatus(log.identity, await log.size_bytes(), partitions),
        flows=await current_statuses(control),
        cluster=await cluster_status(control),
        stuck=await stuck_records(control.ledger, control.clock.now()),
        replays=await unfinished_replays(control),
    )


async def check_result(control: ControlContext) -> CheckResult:
    """Check conservation."""
    faults = await check_conservation(control.log, control.ledger)
    return CheckResult(not faults, faults)
