"""The records of flows, code versions, breakers and stuck loops that a running Busway keeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from busway.delivery.maintenance_window import Window
from busway.ports import Ledger, ResultLocation

FLOW = "flow/"
BREAKER = "breaker/"
VERSION = "version/"
STUCK = "stuck/"
_STUCK_RECENTLY = timedelta(minutes=5)
IN_FLIGHT = "in-flight/"
"""Prefix of a lane's in-flight events, which remain if the process is killed."""
RUNNING = "running"
"""The value that a single process keeps from its start until its clean shutdown."""


class FlowRecord(msgspec.Struct, frozen=True):
    """A flow as it was last started: destination, code version and place of declaration.

    ``rule`` is its event pattern, ``steps`` are the names of its steps. ``known_as`` is the name
    by which sinks know its lanes, if it differs; ``declared`` is false once a program was started
    without it. ``windows`` are the declared maintenance windows.
    """

    destination: str
    version: str
    location: str
    ordered: bool
    rule: dict[str, Any] | None = None
    steps: tuple[str, ...] = ()
    known_as: str = ""
    declared: bool = True
    windows: tuple[Window, ...] = ()


class VersionRecord(msgspec.Struct, frozen=True):
    """A code version of a flow, kept to explain later what it did.

    ``since`` is when it was first started.
    """

    version: str
    since: datetime
    location: str
    destination: str
    rule: dict[str, Any]
    steps: tuple[str, ...] = ()
    landing: ResultLocation | None = None


class BreakerRecord(msgspec.Struct, frozen=True):
    """A destination's breaker: ``closed``, ``open``, ``half-open`` or ``gone``, why, since when.

    ``since`` is when it closed or ceased to be closed; ``failures`` is the number of consecutive
    failures, ``probe_at`` the time of the next probe, if known. ``unreached_reason`` is set until
    the destination is first reached. ``worker`` is the worker that decided, ``at`` is when. Nothing
    is sent until ``limited_until``, because the destination responded with 429.
    """

    state: str
    reason: str
    since: datetime
    failures: int = 0
    probe_at: datetime | None = None
    unreached_reason: str = ""
    worker: str = ""
    at: datetime | None = None
    limited_until: datetime | None = None

    @property
    def is_down(self) -> bool:
        """Whether nothing is delivered to the destination now."""
        return self.state != "closed"


class StuckRecord(msgspec.Struct, frozen=True):
    """A loop that keeps failing: ``failures`` times in a row ``since`` the first failure.

    ``flow`` is the flow of the loop, if it has one. ``at`` is when the record was last written; it
    is written every minute while the loop fails.
    """

    loop: str
    flow: str
    error: str
    reason: str
    since: datetime
    failures: int = 0
    at: datetime | None = None

    @property
    def text(self) -> str:
        """The state of the loop as a sentence for people."""
        cause = f"{self.error}: {self.reason}" if self.reason else self.error
        return f"{self.loop} cannot go on: {cause} ({self.failures} times since {self.since:%F %T})"


async def stuck_records(ledger: Ledger, now: datetime) -> Sequence[StuckRecord]:
    """Return the loops that keep failing, in any process, by name.

    A flow is stuck until its loop succeeds. Any other loop may never run again (that of a replay or
    of a stopped worker), so it is left out if its record is old.
    """
    values = await ledger.get_values(STUCK)
    records = [msgspec.json.decode(values[name], type=StuckRecord) for name in sorted(values)]
    return [
        record
        for record in records
        if record.flow or (record.at and now - record.at < _STUCK_RECENTLY)
    ]


async def flow_records(ledger: Ledger) -> Mapping[str, FlowRecord]:
    """Return the record of each flow, by name."""
    values = await ledger.get_values(FLOW)
    return {
        name.removeprefix(FLOW): msgspec.json.decode(value, type=FlowRecord)
        for name, value in values.items()
    }


async def breaker_records(ledger: Ledger) -> Mapping[str, BreakerRecord]:
    """Return the record of each breaker, by the destination's name."""
    values = await ledger.get_values(BREAKER)
    return {
        name.removeprefix(BREAKER): msgspec.json.decode(value, type=BreakerRecord)
        for name, value in values.items()
    }


async def version_records(ledger: Ledger, flow: str) -> Mapping[str, VersionRecord]:
    """Return the record of each code version of a flow, by version."""
    prefix = version_key(flow, "")
    values = await ledger.get_values(prefix)
    return {
        name.removeprefix(prefix): msgspec.json.decode(value, type=VersionRecord)
        for name, value in values.items()
    }


def version_key(flow: str, version: str) -> str:
    """Return the name of the value that keeps one code version of a flow."""
    return f"{VERSION}{flow}/{version}"
