"""The destinations of the flows, and how each does."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

import msgspec

from busway.control.record import breaker_records, flow_records
from busway.ports import Ledger


class DestinationStatus(msgspec.Struct, frozen=True):
    """A destination: the flows that deliver to it, its breaker, and since when that is so."""

    name: str
    flows: Sequence[str] = ()
    breaker: str = "closed"
    breaker_reason: str = ""
    since: datetime | None = None


async def destination_statuses(ledger: Ledger) -> Sequence[DestinationStatus]:
    """Return the destinations of all flows that are known, by name."""
    flows: defaultdict[str, list[str]] = defaultdict(list)
    for name, record in (await flow_records(ledger)).items():
        flows[record.destination].append(name)
    breakers = await breaker_records(ledger)
    found = []
    for name in sorted(flows):
        status = DestinationStatus(name, sorted(flows[name]))
        if (breaker := breakers.get(name)) is not None:
            status = DestinationStatus(
                name, status.flows, breaker.state, breaker.reason, breaker.since
            )
        found.append(status)
    return found
