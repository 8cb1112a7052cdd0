"""What a running Busway keeps in the ledger for whoever looks: its flows and its breakers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from busway.ports import Ledger

FLOW = "flow/"
BREAKER = "breaker/"


class FlowRecord(msgspec.Struct, frozen=True):
    """A flow as it was last started: destination, code version and place of declaration.

    ``rule`` is its event pattern, ``steps`` are the names of its steps.
    """

    destination: str
    version: str
    place: str
    ordered: bool
    rule: dict[str, Any] | None = None
    steps: tuple[str, ...] = ()


class BreakerRecord(msgspec.Struct, frozen=True):
    """A destination's breaker: ``closed``, ``open``, ``half-open`` or ``gone``, why, since when."""

    state: str
    reason: str
    since: datetime


async def flow_records(ledger: Ledger) -> Mapping[str, FlowRecord]:
    """Return what is kept of each flow, by name."""
    found = await ledger.get(FLOW)
    return {
        name.removeprefix(FLOW): msgspec.json.decode(value, type=FlowRecord)
        for name, value in found.items()
    }


async def breaker_records(ledger: Ledger) -> Mapping[str, BreakerRecord]:
    """Return what is kept of each breaker, by the destination's name."""
    found = await ledger.get(BREAKER)
    return {
        name.removeprefix(BREAKER): msgspec.json.decode(value, type=BreakerRecord)
        for name, value in found.items()
    }
