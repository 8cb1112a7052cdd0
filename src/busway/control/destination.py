"""The status of the destinations of the flows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from busway.control.operator_control.flow_state import (
    FlowState,
    FlowStateName,
    flow_state,
)
from busway.control.operator_control.record import (
    NO_CONTROLS,
    ControlTarget,
    control_records,
)
from busway.control.record import BreakerRecord, breaker_records, flow_records
from busway.delivery.operator_control import (
    NOT_AHEAD,
    ControlRecords,
    OperatorThrottle,
    operator_throttles,
)
from busway.ports import Ledger


class DestinationStatus(msgspec.Struct, frozen=True):
    """A destination: the flows that deliver to it, its state, and its breaker.

    ``state`` is independent of the states of its flows. A destination that is down was tried
    ``tries`` times since then and is probed again at ``next_probe_at``.
    """

    name: str
    flows: Sequence[str] = ()
    breaker: str = "closed"
    breaker_reason: str = ""
    since: datetime | None = None
    state: FlowStateName = "running"
    state_reason: str = ""
    until: datetime | None = None
    throttle: OperatorThrottle | None = None
    down_since: datetime | None = None
    tries: int = 0
    next_probe_at: datetime | None = None


async def destination_statuses(
    ledger: Ledger, at: datetime | None = None, ahead: timedelta = NOT_AHEAD
) -> Sequence[DestinationStatus]:
    """Return the status of the destinations of all flows, by name.

    ``at`` is the time at which the states hold (default: now); ``ahead`` is how far that time is
    ahead of the machine's clock.
    """
    flows: defaultdict[str, list[str]] = defaultdict(list)
    for name, record in (await flow_records(ledger)).items():
        flows[record.destination].append(name)
    breakers, controls = await breaker_records(ledger), await control_records(ledger)
    lanes, now = await ledger.lanes(), at or datetime.now(UTC)
    statuses = []
    for name in sorted(flows):
        own = [lane for lane in lanes if lane.flow in flows[name]]
        records: ControlRecords = {
            "destination": controls.get(ControlTarget("destination", name), NO_CONTROLS)
        }
        state = flow_state(records, breakers.get(name), own, now, ahead)
        status = _destination_status(name, sorted(flows[name]), breakers.get(name), state)
        throttle = next(iter(operator_throttles(records)), None)
        statuses.append(msgspec.structs.replace(status, throttle=throttle))
    return statuses


def _destination_status(
    name: str, flows: Sequence[str], breaker: BreakerRecord | None, state: FlowState
) -> DestinationStatus:
    status = DestinationStatus(
        name, flows, state=state.state, state_reason=state.reason, until=state.until
    )
    if breaker is None:
        return status
    return msgspec.structs.replace(
        status,
        breaker=breaker.state,
        breaker_reason=breaker.reason,
        since=breaker.since,
        down_since=breaker.since if breaker.is_down else None,
        tries=breaker.failures,
        next_probe_at=breaker.probe_at if breaker.is_down else None,
    )
