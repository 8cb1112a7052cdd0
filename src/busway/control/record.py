"""What a running Busway keeps in the ledger for whoever looks: its flows and its breakers."""

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
"""Before a lane's name: what it had in hand when the process ended."""
RUNNING = "running"
"""What a process by itself keeps from its start to its orderly stop."""


class FlowRecord(msgspec.Struct, frozen=True):
    """A flow as it was last started: destination, code version and place of declaration.

    ``rule`` is its event pattern, ``steps`` are the names of its steps. ``known_as`` is the name
    by which sinks know its lanes, where that is another one; ``declared`` is false once a program
    was started without it. ``windows`` are the declared ones.
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
    """One code version of a flow: what is needed to explain later what it did.

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

    ``since`` is when it was closed, or left being so; ``failures`` how many times in a row it was
    down or failing, ``probe_at`` when the next probe goes, where that is known.
    ``unreached_reason`` says that nobody has reached or tried it yet. ``worker`` is the worker
    that decided so, ``at`` is when. Until ``limited_until`` nothing goes, as it asked for by 429.
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
        """Whether it takes nothing now."""
        return self.state != "closed"


class StuckRecord(msgspec.Struct, frozen=True):
    """A loop that does not get on: its turns fail, ``failures`` in a row ``since`` the first one.

    ``flow`` is the flow that it is for, where it is for one. ``at`` is when that was noted last: it
    is noted again each minute for as long as it fails.
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
        """What there is to say about it, for people."""
        why = f"{self.error}: {self.reason}" if self.reason else self.error
        return f"{self.loop} cannot go on: {why} ({self.failures} times since {self.since:%F %T})"


async def stuck_records(ledger: Ledger, now: datetime) -> Sequence[StuckRecord]:
    """Return the loops that do not get on, in any process, by name.

    A flow is stuck until it gets on. Any other loop may never run again (that of a replay, of a
    worker that is not started any more), and is left out when it has not been noted lately.
    """
    found = await ledger.get_values(STUCK)
    records = [msgspec.json.decode(found[name], type=StuckRecord) for name in sorted(found)]
    return [one for one in records if one.flow or (one.at and now - one.at < _STUCK_RECENTLY)]


async def flow_records(ledger: Ledger) -> Mapping[str, FlowRecord]:
    """Return what is kept of each flow, by name."""
    found = await ledger.get_values(FLOW)
    return {
        name.removeprefix(FLOW): msgspec.json.decode(value, type=FlowRecord)
        for name, value in found.items()
    }


async def breaker_records(ledger: Ledger) -> Mapping[str, BreakerRecord]:
    """Return what is kept of each breaker, by the destination's name."""
    found = await ledger.get_values(BREAKER)
    return {
        name.removeprefix(BREAKER): msgspec.json.decode(value, type=BreakerRecord)
        for name, value in found.items()
    }


async def version_records(ledger: Ledger, flow: str) -> Mapping[str, VersionRecord]:
    """Return what is kept of each code version of a flow, by version."""
    prefix = version_key(flow, "")
    found = await ledger.get_values(prefix)
    return {
        name.removeprefix(prefix): msgspec.json.decode(value, type=VersionRecord)
        for name, value in found.items()
    }


def version_key(flow: str, version: str) -> str:
    """Return the name of the value that keeps one code version of a flow."""
    return f"{VERSION}{flow}/{version}"
