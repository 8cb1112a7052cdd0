"""Where every event of every flow is."""

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
    """One flow, all partitions together.

    ``accepted`` is how many events came since it began; it is always the sum of ``delivered``,
    ``filtered``, ``parked``, ``dead``, ``discarded`` and ``backlog``. ``waiting_since`` is when the
    first event of its backlog came, ``rates`` are measured where it runs.
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
    """Whether the program that was started last has it."""
    waiting_since: datetime | None = None
    rates: FlowRates | None = None
    state: FlowStateName = "running"
    """How it stands
    (:class:`busway.control.operator_control.flow_state.FlowState`), why, and until when."""
    state_reason: str = ""
    until: datetime | None = None
    throttles: tuple[OperatorThrottle, ...] = ()
    """What people have set in the place of its declared rate and concurrency."""
    down_since: datetime | None = None
    """Since when its destination takes nothing, how often it was tried, when it is tried next."""
    tries: int = 0
    next_probe_at: datetime | None = None


class _Snapshot(msgspec.Struct, frozen=True):
    """What is known of all flows."""

    ends: Sequence[int]
    flows: Mapping[str, FlowRecord]
    breakers: Mapping[str, BreakerRecord]
    waiting: Mapping[str, datetime]
    rates: Mapping[str, FlowRates]
    steerings: Mapping[ControlTarget, ControlRecord]
    at: datetime
    ahead: timedelta
    stuck: Mapping[str, StuckRecord]


async def current_statuses(control: ControlContext) -> Sequence[FlowStatus]:
    """Return the status of each flow as it is now."""
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
    """Return the status of each flow that has a lane, by name; replays are no flows.

    Without ``rates`` there are none in it. ``at`` is the time to tell their state at, now unless
    given; ``ahead`` is how far that time is ahead of the machine's clock.
    """
    # before the lanes: a flow that is paused since it has drained has drained in its counts too
    asked, breakers = await control_records(ledger), await breaker_records(ledger)
    by_flow: defaultdict[str, list[Lane]] = defaultdict(list)
    for lane in await ledger.lanes():
        if not is_replay_lane(lane.flow):
            by_flow[lane.flow].append(lane)
    ends = [(await log.bounds(partition)).end for partition in range(log.partitions)]
    now = at or datetime.now(UTC)
    known = _Snapshot(
        ends=ends,
        flows=await flow_records(ledger),
        breakers=breakers,
        waiting=await _waiting_since(log, by_flow, ends),
        rates=rates or {},
        steerings=asked,
        at=now,
        ahead=ahead,
        stuck={one.flow: one for one in await stuck_records(ledger, now)},
    )
    return [_status(name, lanes, known) for name, lanes in by_flow.items()]


def _status(name: str, lanes: Sequence[Lane], snapshot: _Snapshot) -> FlowStatus:
    ends, record = snapshot.ends, snapshot.flows.get(name, FlowRecord("", "", "", ordered=False))
    breaker = snapshot.breakers.get(record.destination)
    stands = _state(name, lanes, record, snapshot)
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
        state=stands.state,
        state_reason=stands.reason,
        until=stands.until,
        throttles=operator_throttles(_records(name, record, snapshot)),
        down_since=breaker.since if breaker is not None and breaker.is_down else None,
        tries=breaker.failures if breaker is not None else 0,
        next_probe_at=breaker.probe_at if breaker is not None and breaker.is_down else None,
    )


def _records(name: str, record: FlowRecord, snapshot: _Snapshot) -> ControlRecords:
    """Return what a flow has to obey."""
    return records_of(name, record.destination, record.windows, snapshot.steerings)


def _state(name: str, lanes: Sequence[Lane], record: FlowRecord, snapshot: _Snapshot) -> FlowState:
    if not record.declared:
        return FlowState("undeclared", "no program that runs here has this flow")
    records = _records(name, record, snapshot)
    breaker = snapshot.breakers.get(record.destination)
    stands = flow_state(records, breaker, lanes, snapshot.at, snapshot.ahead)
    stuck = snapshot.stuck.get(name)
    if stuck is None or stands.state not in ("running", "draining"):
        return stands
    return FlowState("stuck", stuck.text)


async def _waiting_since(
    log: Log, by_flow: Mapping[str, Sequence[Lane]], ends: Sequence[int]
) -> Mapping[str, datetime]:
    """Return when the first event came that each flow has not read; lanes often wait together."""
    if not isinstance(log, HasAppendTimes):
        return {}
    dates: dict[tuple[int, int], datetime | None] = {}
    found: dict[str, datetime] = {}
    for name, lanes in by_flow.items():
        for place in ((one.partition, one.cursor) for one in lanes):
            if place[1] >= ends[place[0]]:
                continue
            if place not in dates:
                dates[place] = await log.appended_at(*place)
            at = dates[place]
            if at is not None:
                found[name] = min(at, found.get(name, at))
    return found
