"""The status of every flow: how many of its events are in which state."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from busway.control.context import ControlContext
from busway.control.flow_rate import FlowRates
from busway.control.operator_control.flow_state import (
    FlowState,
    FlowStateName,
    flow_state,
)
from busway.control.operator_control.record import (
    ControlTarget,
    control_records,
    records_of,
)
from busway.control.record import (
    BreakerRecord,
    FlowRecord,
    StuckRecord,
    breaker_records,
    flow_records,
    stuck_records,
)
from busway.delivery.operator_control import (
    NOT_AHEAD,
    ControlRecord,
    ControlRecords,
    OperatorThrottle,
    operator_throttles,
)
from busway.lane import Counts, Lane, is_replay_lane
from busway.ports import HasAppendTimes, Ledger, Log


class FlowStatus(msgspec.Struct, frozen=True):
    """The status of a flow over all its partitions.

    ``accepted`` is the number of events in the log since the flow began; it is always the sum of
    ``delivered``, ``filtered``, ``parked``, ``dead``, ``discarded`` and ``backlog``.
    ``waiting_since`` is when the first event of the backlog was appended. ``rates`` are measured by
    the worker that runs the flow.
    """

    name: str
    accepted: int
    delivered: int
    filtered: int
    parked: int
    dead: int
    discarded: int
    backlog: int
    breaker: str = "closed"
    breaker_reason: str = ""
    destination: str = ""
    version: str = ""
    declared: bool = True
    """Whether the last program that was started declares the flow."""
    waiting_since: datetime | None = None
    rates: FlowRates | None = None
    state: FlowStateName = "running"
    """See :class:`busway.control.operator_control.flow_state.FlowState`."""
    state_reason: str = ""
    until: datetime | None = None
    throttles: tuple[OperatorThrottle, ...] = ()
    """Operator overrides of the declared rate and concurrency."""
    down_since: datetime | None = None
    """Since when the destination is down; ``tries`` and ``next_probe_at`` are about its probes."""
    tries: int = 0
    next_probe_at: datetime | None = None


class _Snapshot(msgspec.Struct, frozen=True):
    """The records of all flows, read at one time."""

    ends: Sequence[int]
    flows: Mapping[str, FlowRecord]
    breakers: Mapping[str, BreakerRecord]
    waiting: Mapping[str, datetime]
    rates: Mapping[str, FlowRates]
    controls: Mapping[ControlTarget, ControlRecord]
    at: datetime
    ahead: timedelta
    stuck: Mapping[str, StuckRecord]


async def current_statuses(control: ControlContext) -> Sequence[FlowStatus]:
    """Return the current status of each flow."""
    clock, rates = control.clock, control.rates()
    return await flow_statuses(
        control.log, control.ledger, rates, clock.now(), clock.wall_clock_offset()
    )


async def flow_statuses(
    log: Log,
    ledger: Ledger,
    rates: Mapping[str, FlowRates] | None = None,
    at: datetime | None = None,
    ahead: timedelta = NOT_AHEAD,
) -> Sequence[FlowStatus]:
    """Return the status of each flow that has a lane, by name; replays are not flows.

    ``at`` is the time at which the states hold (default: now); ``ahead`` is how far that time is
    ahead of the machine's clock.
    """
    # read before the lanes: the counts of a flow that is paused after a drain include the drain
    controls, breakers = await control_records(ledger), await breaker_records(ledger)
    by_flow: defaultdict[str, list[Lane]] = defaultdict(list)
    for lane in await ledger.lanes():
        if not is_replay_lane(lane.flow):
            by_flow[lane.flow].append(lane)
    ends = [(await log.bounds(partition)).end for partition in range(log.partitions)]
    now = at or datetime.now(UTC)
    snapshot = _Snapshot(
        ends=ends,
        flows=await flow_records(ledger),
        breakers=breakers,
        waiting=await _waiting_since(log, by_flow, ends),
        rates=rates or {},
        controls=controls,
        at=now,
        ahead=ahead,
        stuck={record.flow: record for record in await stuck_records(ledger, now)},
    )
    return [_status(name, lanes, snapshot) for name, lanes in by_flow.items()]


def _status(name: str, lanes: Sequence[Lane], snapshot: _Snapshot) -> FlowStatus:
    ends, record = snapshot.ends, snapshot.flows.get(name, FlowRecord("", "", "", ordered=False))
    breaker = snapshot.breakers.get(record.destination)
    state = _state(name, lanes, record, snapshot)
    return FlowStatus(
        name,
        sum(ends[lane.partition] - lane.start for lane in lanes),
        *sum((lane.counts for lane in lanes), Counts()).values(),
        sum(ends[lane.partition] - lane.cursor for lane in lanes),
        breaker="closed" if breaker is None else breaker.state,
        breaker_reason="" if breaker is None else breaker.reason,
        destination=record.destination,
        version=record.version,
        declared=record.declared,
        waiting_since=snapshot.waiting.get(name),
        rates=snapshot.rates.get(name),
        state=state.state,
        state_reason=state.reason,
        until=state.until,
        throttles=operator_throttles(_records(name, record, snapshot)),
        down_since=breaker.since if breaker is not None and breaker.is_down else None,
        tries=breaker.failures if breaker is not None else 0,
        next_probe_at=breaker.probe_at if breaker is not None and breaker.is_down else None,
    )


def _records(name: str, record: FlowRecord, snapshot: _Snapshot) -> ControlRecords:
    """Return the control records that apply to a flow."""
    return records_of(name, record.destination, record.windows, snapshot.controls)


def _state(name: str, lanes: Sequence[Lane], record: FlowRecord, snapshot: _Snapshot) -> FlowState:
    if not record.declared:
        return FlowState("undeclared", "no running program declares this flow")
    records = _records(name, record, snapshot)
    breaker = snapshot.breakers.get(record.destination)
    state = flow_state(records, breaker, lanes, snapshot.at, snapshot.ahead)
    stuck = snapshot.stuck.get(name)
    if stuck is None or state.state not in ("running", "draining"):
        return state
    return FlowState("stuck", stuck.text)


async def _waiting_since(
    log: Log, by_flow: Mapping[str, Sequence[Lane]], ends: Sequence[int]
) -> Mapping[str, datetime]:
    """Return when the first event of each flow's backlog was appended; lanes often share it."""
    if not isinstance(log, HasAppendTimes):
        return {}
    appended: dict[tuple[int, int], datetime | None] = {}
    waiting: dict[str, datetime] = {}
    for name, lanes in by_flow.items():
        for lane in lanes:
            partition, cursor = lane.partition, lane.cursor
            if cursor >= ends[partition]:
                continue
            if (partition, cursor) not in appended:
                appended[partition, cursor] = await log.appended_at(partition, cursor)
            at = appended[partition, cursor]
            if at is not None:
                waiting[name] = min(at, waiting.get(name, at))
    return waiting
