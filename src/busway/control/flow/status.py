"""Where every event of every flow is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from busway.control.control import Control
from busway.control.rate import Rates
from busway.control.record import (
    BreakerRecord,
    FlowRecord,
    StuckRecord,
    breaker_records,
    flow_records,
    stuck_records,
)
from busway.control.steer.record import Target, records_of, steerings
from busway.control.steer.standing import Standing, Word, standing
from busway.delivery.hold import IN_TIME, Records, Steering, Throttle, throttles
from busway.lane import Counts, Lane, is_replay
from busway.ports import Dated, Ledger, Log


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
    rates: Rates | None = None
    state: Word = "running"
    """How it stands (:class:`busway.control.steer.standing.Standing`), why, and until when."""
    state_reason: str = ""
    until: datetime | None = None
    throttles: tuple[Throttle, ...] = ()
    """What people have set in the place of its declared rate and concurrency."""
    down_since: datetime | None = None
    """Since when its destination takes nothing, how often it was tried, when it is tried next."""
    tries: int = 0
    next_try_at: datetime | None = None


class _Known(msgspec.Struct, frozen=True):
    """What is known of all flows."""

    ends: Sequence[int]
    flows: Mapping[str, FlowRecord]
    breakers: Mapping[str, BreakerRecord]
    waiting: Mapping[str, datetime]
    rates: Mapping[str, Rates]
    steerings: Mapping[Target, Steering]
    at: datetime
    ahead: timedelta
    stuck: Mapping[str, StuckRecord]


async def current_statuses(control: Control) -> Sequence[FlowStatus]:
    """Return the status of each flow as it is now."""
    clock, rates = control.clock, control.rates()
    return await flow_statuses(control.log, control.ledger, rates, clock.now(), clock.ahead())


async def flow_statuses(
    log: Log,
    ledger: Ledger,
    rates: Mapping[str, Rates] | None = None,
    at: datetime | None = None,
    ahead: timedelta = IN_TIME,
) -> Sequence[FlowStatus]:
    """Return the status of each flow that has a lane, by name; replays are no flows.

    Without ``rates`` there are none in it. ``at`` is the time to tell their state at, now unless
    given; ``ahead`` is how far that time is ahead of the machine's clock.
    """
    # before the lanes: a flow that is paused since it has drained has drained in its counts too
    asked, breakers = await steerings(ledger), await breaker_records(ledger)
    by_flow: defaultdict[str, list[Lane]] = defaultdict(list)
    for lane in await ledger.lanes():
        if not is_replay(lane.flow):
            by_flow[lane.flow].append(lane)
    ends = [(await log.bounds(partition))[1] for partition in range(log.partitions)]
    now = at or datetime.now(UTC)
    known = _Known(
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


def _status(name: str, lanes: Sequence[Lane], known: _Known) -> FlowStatus:
    ends, record = known.ends, known.flows.get(name, FlowRecord("", "", "", ordered=False))
    breaker = known.breakers.get(record.destination)
    stands = _standing(name, lanes, record, known)
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
        waiting_since=known.waiting.get(name),
        rates=known.rates.get(name),
        state=stands.state,
        state_reason=stands.reason,
        until=stands.until,
        throttles=throttles(_records(name, record, known)),
        down_since=breaker.since if breaker is not None and breaker.is_down else None,
        tries=breaker.failures if breaker is not None else 0,
        next_try_at=breaker.probe_at if breaker is not None and breaker.is_down else None,
    )


def _records(name: str, record: FlowRecord, known: _Known) -> Records:
    """Return what a flow has to obey."""
    return records_of(name, record.destination, record.windows, known.steerings)


def _standing(name: str, lanes: Sequence[Lane], record: FlowRecord, known: _Known) -> Standing:
    if not record.declared:
        return Standing("undeclared", "no program that runs here has this flow")
    records = _records(name, record, known)
    breaker = known.breakers.get(record.destination)
    stands = standing(records, breaker, lanes, known.at, known.ahead)
    stuck = known.stuck.get(name)
    if stuck is None or stands.state not in ("running", "draining"):
        return stands
    return Standing("stuck", stuck.text)


async def _waiting_since(
    log: Log, by_flow: Mapping[str, Sequence[Lane]], ends: Sequence[int]
) -> Mapping[str, datetime]:
    """Return when the first event came that each flow has not read; lanes often wait together."""
    if not isinstance(log, Dated):
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
