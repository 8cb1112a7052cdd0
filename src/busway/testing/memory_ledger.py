"""A ledger in memory: what a ledger does, in the fewest words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import TypeVar

import msgspec
from msgspec import UNSET

from busway.audit_record import AuditRecord
from busway.conservation import (
    check_resolution,
    check_settlement,
    count_change,
    resolved_events,
)
from busway.failed_event import (
    FailedEvent,
    FailedEventGroup,
    FailedEventQuery,
    FailedEventState,
    Resolution,
    ResolvedEvent,
)
from busway.lane import Counts, EventRef, FailedEventCounts, Lane, LaneId, LeaseRequest
from busway.named_value import ValueChange
from busway.settlement import MAX_RANGE_SPAN, SettledRange, Settlement


class MemoryLedger:
    """Keeps lanes, failed events, ranges and values in dictionaries; each method is one step."""

    def __init__(self) -> None:
        self._lanes: dict[LaneId, Lane] = {}
        self._failed_events: dict[EventRef, FailedEvent] = {}
        self._settled_ranges: list[SettledRange] = []
        self._values: dict[str, bytes] = {}
        self._resolved_events: list[ResolvedEvent] = []
        self._audit_records: list[AuditRecord] = []

    async def lanes(self) -> Sequence[Lane]:
        return [lane for _, lane in sorted(self._lanes.items())]

    async def open_lane(self, flow: str, partition: int, start: int) -> Lane:
        return self._lanes.setdefault(LaneId(flow, partition), Lane(flow, partition, start, start))

    async def lease(
        self, leases: Sequence[LeaseRequest], changes: Sequence[ValueChange] = ()
    ) -> Sequence[int | None]:
        if not self._change_values(changes):
            return [None] * len(leases)
        return [self._lease(lease) for lease in leases]

    def _lease(self, wanted: LeaseRequest) -> int | None:
        lane = self._lanes.get(wanted.lane_id)
        if lane is None or lane.fencing_token != wanted.fencing_token:
            return None
        lane = msgspec.structs.replace(
            lane, worker=wanted.worker, fencing_token=lane.fencing_token + 1
        )
        self._lanes[lane.id] = lane
        return lane.fencing_token

    async def rename_flow(self, old: str, new: str, audit: Sequence[AuditRecord] = ()) -> bool:
        if any(lane.flow == new for lane in self._lanes):
            return False
        lanes = [_with_flow_name(lane, old, new) for lane in self._lanes.values()]
        failed_events = [_with_flow_name(event, old, new) for event in self._failed_events.values()]
        self._lanes = {lane.id: lane for lane in lanes}
        self._failed_events = {event.ref: event for event in failed_events}
        self._settled_ranges = [_with_flow_name(one, old, new) for one in self._settled_ranges]
        self._resolved_events = [
            _with_flow_name(event, old, new) for event in self._resolved_events
        ]
        self._add_audit_records(audit)
        return True

    async def remove_flow(self, flow: str, audit: Sequence[AuditRecord] = ()) -> bool:
        if all(lane.flow != flow for lane in self._lanes):
            return False
        self._lanes = {id: lane for id, lane in self._lanes.items() if id.flow != flow}
        self._failed_events = {
            at: one for at, one in self._failed_events.items() if one.flow != flow
        }
        self._settled_ranges = [one for one in self._settled_ranges if one.flow != flow]
        self._resolved_events = [event for event in self._resolved_events if event.flow != flow]
        self._add_audit_records(audit)
        return True

    async def settle(
        self, settlements: Sequence[Settlement], changes: Sequence[ValueChange] = ()
    ) -> Sequence[bool]:
        for settlement in settlements:
            check_settlement(settlement)
        applied = [self._settle(settlement) for settlement in settlements]
        if all(applied):
            self._change_values(changes)
        return applied

    def _settle(self, s: Settlement) -> bool:
        lane = self._lanes.get(LaneId(s.flow, s.partition))
        if lane is None or (lane.cursor, lane.fencing_token) != (s.start, s.fencing_token):
            return False
        self._add_counts(lane, s.counts, s.end)
        if s.end > s.start:
            self._record(s)
        self._failed_events |= {event.ref: event for event in s.failed_events}
        self._release_keys(s.flow, s.partition, s.at)
        return True

    def _record(self, s: Settlement) -> None:
        fresh = SettledRange(s.flow, s.partition, s.start, s.end, s.version, s.at, s.at, s.counts)
        for position, old in enumerate(self._settled_ranges):
            touches = (old.flow, old.partition, old.end) == (s.flow, s.partition, s.start)
            recent = s.at - old.first_at <= MAX_RANGE_SPAN
            if touches and recent and old.version == s.version:
                self._settled_ranges[position] = msgspec.structs.replace(
                    old, end=s.end, last_at=s.at, counts=old.counts + s.counts
                )
                return
        self._settled_ranges.append(fresh)

    def _add_counts(self, lane: Lane, change: Counts, cursor: int) -> None:
        self._lanes[lane.id] = msgspec.structs.replace(
            lane, cursor=cursor, counts=lane.counts + change
        )

    def _release_keys(self, flow: str, partition: int, at: datetime) -> None:
        seen: set[str] = set()
        for place, event in sorted(self._failed_events.items()):
            mine = (event.flow, event.partition) == (flow, partition)
            if not mine or event.state != "parked" or event.key is None or event.key in seen:
                continue
            seen.add(event.key)
            if event.due is None:
                self._failed_events[place] = msgspec.structs.replace(event, due=at)

    async def resolve(
        self,
        resolutions: Sequence[Resolution],
        audit: Sequence[AuditRecord] = (),
        changes: Sequence[ValueChange] = (),
    ) -> Sequence[bool]:
        for verdict in resolutions:
            check_resolution(verdict)
        if not self._change_values(changes):
            return [False] * len(resolutions)
        applied = [self._resolve(verdict) for verdict in resolutions]
        if any(applied):
            self._add_audit_records(audit)
        return applied

    def _resolve(self, verdict: Resolution) -> bool:
        event = self._failed_events.get(verdict.ref)
        if not event or (event.attempts, event.state) != (verdict.attempts, verdict.state):
            return False
        if verdict.event not in (None, event.event):
            return False
        del self._failed_events[verdict.ref]
        if isinstance(verdict.outcome, FailedEvent):
            self._failed_events[verdict.ref] = verdict.outcome
            change = count_change(verdict.state, verdict.outcome.state)
        else:
            change = count_change(verdict.state, verdict.outcome)
            self._resolved_events += resolved_events(event, verdict)
        lane = self._lanes[LaneId(verdict.flow, verdict.partition)]
        self._add_counts(lane, change, lane.cursor)
        self._release_keys(verdict.flow, verdict.partition, verdict.at)
        return True

    async def failed_events(self, query: FailedEventQuery) -> Sequence[FailedEvent]:
        found = [event for event in self._sorted_failed_events() if _matches(event, query)]
        if query.due_by:
            found.sort(key=_due)
        return found[: query.limit]

    def _sorted_failed_events(self) -> Iterable[FailedEvent]:
        return (event for _, event in sorted(self._failed_events.items()))

    async def failed_event_groups(self, query: FailedEventQuery) -> Sequence[FailedEventGroup]:
        query = msgspec.structs.replace(query, after=None, due_by=None)
        groups_by_cause: dict[tuple[str, FailedEventState, str], list[FailedEvent]] = {}
        for event in self._sorted_failed_events():
            if _matches(event, query):
                groups_by_cause.setdefault((event.flow, event.state, event.fingerprint), []).append(
                    event
                )
        groups = [_failed_event_group(cause, events) for cause, events in groups_by_cause.items()]
        groups.sort(key=lambda group: (-group.count, group.flow, group.fingerprint, group.state))
        return groups[: query.limit]

    async def due_flows(self, by: datetime) -> Collection[str]:
        parked = [event for event in self._failed_events.values() if event.state == "parked"]
        return {one.flow for one in parked if one.due is not None and one.due <= by}

    async def parked_keys(self, flow: str, partition: int) -> Mapping[str, int]:
        query = FailedEventQuery(state="parked", flow=flow, partition=partition)
        return Counter(
            t.key for t in self._sorted_failed_events() if t.key is not None and _matches(t, query)
        )

    async def settled_ranges(
        self, flow: str, partition: int | None = None
    ) -> Sequence[SettledRange]:
        found = [
            s for s in self._settled_ranges if s.flow == flow and partition in (None, s.partition)
        ]
        return sorted(found, key=lambda s: (s.partition, s.start))

    async def resolved_events(self, event_id: str) -> Sequence[ResolvedEvent]:
        return [event for event in self._resolved_events if event.event_id == event_id]

    async def prune_history(self, before: datetime) -> None:
        self._resolved_events = [event for event in self._resolved_events if event.at >= before]
        merged: list[SettledRange] = []
        for one in sorted(self._settled_ranges, key=lambda s: (s.flow, s.partition, s.start)):
            last = merged[-1] if merged else None
            old = last is not None and max(last.last_at, one.last_at) < before
            if last is not None and old and _touch(last, one):
                merged[-1] = msgspec.structs.replace(
                    last, end=one.end, last_at=one.last_at, counts=last.counts + one.counts
                )
            else:
                merged.append(one)
        self._settled_ranges = merged

    async def put_value(self, name: str, value: bytes) -> None:
        self._values[name] = value

    async def change_values(
        self, changes: Sequence[ValueChange], audit: Sequence[AuditRecord] = ()
    ) -> bool:
        done = self._change_values(changes)
        if done:
            self._add_audit_records(audit)
        return done

    def _change_values(self, changes: Sequence[ValueChange]) -> bool:
        for change in changes:
            if change.expected is not UNSET and self._values.get(change.name) != change.expected:
                return False
        for change in changes:
            if change.value is None:
                self._values.pop(change.name, None)
            else:
                self._values[change.name] = change.value
        return True

    def _add_audit_records(self, audit: Sequence[AuditRecord]) -> None:
        for one in audit:
            self._audit_records.append(
                msgspec.structs.replace(one, seq=len(self._audit_records) + 1)
            )

    async def audit_records(
        self, target: str = "", before: int | None = None, limit: int = 100
    ) -> Sequence[AuditRecord]:
        found = [
            record
            for record in reversed(self._audit_records)
            if (
                record.target == target
                or record.target.startswith(target.rstrip("/") + "/" * bool(target))
            )
            and (before is None or record.seq < before)
        ]
        return found[:limit]

    async def get_values(self, prefix: str) -> Mapping[str, bytes]:
        return {
            name: self._values[name] for name in sorted(self._values) if name.startswith(prefix)
        }

    async def count_failed_events(self) -> Mapping[LaneId, FailedEventCounts]:
        states: dict[LaneId, list[str]] = {}
        for event in self._failed_events.values():
            states.setdefault(LaneId(event.flow, event.partition), []).append(event.state)
        return {
            lane_id: FailedEventCounts(of_lane.count("parked"), of_lane.count("dead"))
            for lane_id, of_lane in states.items()
        }

    async def close(self) -> None:
        """Nothing to close: what it holds goes with it."""


FlowRecord = TypeVar("FlowRecord", Lane, FailedEvent, SettledRange, ResolvedEvent)


def _with_flow_name(one: FlowRecord, old: str, new: str) -> FlowRecord:
    return msgspec.structs.replace(one, flow=new) if one.flow == old else one


def _touch(first: SettledRange, second: SettledRange) -> bool:
    places = [(one.flow, one.partition, one.version) for one in (first, second)]
    return places[0] == places[1] and first.end == second.start


def _failed_event_group(
    cause: tuple[str, FailedEventState, str], failed_events: Sequence[FailedEvent]
) -> FailedEventGroup:
    error = min(event.error for event in failed_events)
    since = [event.since for event in failed_events]
    place = (failed_events[0].partition, failed_events[0].offset)
    return FailedEventGroup(*cause, error, len(failed_events), min(since), max(since), *place)


def _due(event: FailedEvent) -> tuple[datetime, EventRef]:
    assert event.due  # noqa: S101 - only due ones are asked for
    return (event.due, event.ref)


def _matches(event: FailedEvent, query: FailedEventQuery) -> bool:
    due = event.state == "parked" and event.due and query.due_by and event.due <= query.due_by
    return (
        query.state in (None, event.state)
        and query.flow in (None, event.flow)
        and query.partition in (None, event.partition)
        and (query.partitions is None or event.partition in query.partitions)
        and (query.keys is None or (event.state == "parked" and event.key in query.keys))
        and query.event_id in (None, event.event_id)
        and query.event_key in (None, event.event_key)
        and query.error in (None, event.error)
        and query.fingerprint in (None, event.fingerprint)
        and (query.since_from is None or event.since >= query.since_from)
        and (query.since_to is None or event.since < query.since_to)
        and (query.after is None or event.ref > query.after)
        and bool(due or query.due_by is None)
    )
