"""Apply settlements and resolutions to the ledger's tables, inside a transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import apsw

from busway.conservation import count_change
from busway.engine.sqlite.database import Row, fetch, sql
from busway.engine.sqlite.failed_event_count import CountKey, adjust_counts, count_key
from busway.engine.sqlite.row_codec import ROW_CODEC, state_update_values
from busway.engine.sqlite.timestamp import to_microseconds
from busway.failed_event import FailedEvent, FailedEventState, Resolution
from busway.lane import Counts, LaneId, LeaseRequest
from busway.settlement import MAX_RANGE_SPAN, Settlement


class _StateChange(NamedTuple):
    flow: str
    partition: int
    before: FailedEventState
    after: str


def settle(connection: apsw.Connection, settlement: Settlement) -> bool:
    """Advance the lane if its cursor is at the settlement's start; return whether it was."""
    s, counts = settlement, settlement.counts.values()
    span = (s.flow, s.partition, s.start, s.end)
    connection.execute(sql("ledger/settle"), (*span, *counts, s.fencing_token))
    if not connection.changes():
        return False
    if s.end > s.start:
        _record_range(connection, settlement)
    for event in s.failed_events:
        connection.execute(sql("ledger/add_failed_event"), ROW_CODEC.encode_failed_event(event))
    adjust_counts(connection, Counter(map(count_key, s.failed_events)))
    for key in {event.key for event in s.failed_events if event.due is None}:
        _release_key(connection, s, key, s.at)
    return True


def lease(connection: apsw.Connection, request: LeaseRequest) -> int | None:
    """Lease a lane to a worker if its fencing token is as expected; return the new token."""
    values = (request.flow, request.partition, request.fencing_token, request.worker)
    connection.execute(sql("ledger/lease"), values)
    return request.fencing_token + 1 if connection.changes() else None


def resolve(connection: apsw.Connection, resolutions: Sequence[Resolution]) -> list[bool]:
    """Apply resolutions to failed events; return which ones were as expected."""
    state_changes: Counter[_StateChange] = Counter()
    count_changes: Counter[CountKey] = Counter()
    applied = []
    for resolution in resolutions:
        is_applied = _update_in_place(connection, resolution, count_changes) or _replace(
            connection, resolution, count_changes
        )
        applied.append(is_applied)
        if is_applied:
            outcome, lane = resolution.outcome, (resolution.flow, resolution.partition)
            state = outcome.state if isinstance(outcome, FailedEvent) else outcome
            state_changes[_StateChange(*lane, resolution.state, state)] += 1
    for lane, change in _lane_count_changes(state_changes).items():
        connection.execute(sql("ledger/adjust_counts"), (*lane, *change.values()))
    adjust_counts(connection, count_changes)
    return applied


def _lane_count_changes(
    state_changes: Counter[_StateChange],
) -> Mapping[LaneId, Counts]:
    """Return the changes of the counts of each lane."""
    changes: dict[LaneId, Counts] = {}
    for (flow, partition, before, after), count in state_changes.items():
        if before != after:
            lane = LaneId(flow, partition)
            changes[lane] = changes.get(lane, Counts()) + count_change(before, after, count)
    return changes


def _update_in_place(
    connection: apsw.Connection, resolution: Resolution, count_changes: Counter[CountKey]
) -> bool:
    """Update only the state of a failed event, if nothing else changes: that is cheaper."""
    after = resolution.outcome
    if not isinstance(after, FailedEvent) or resolution.event not in (None, after.event):
        return False
    row = state_update_values(ROW_CODEC.encode_failed_event(after))
    expected = (resolution.attempts, resolution.state)
    if expected == (after.attempts, after.state) and _mark_attempt(connection, row):
        return True
    connection.execute(sql("ledger/update_failed_event"), (*row, *expected))
    if not connection.changes():
        return False
    if resolution.state != after.state:
        before = CountKey(resolution.state, after.flow, after.fingerprint, after.error)
        count_changes[before] -= 1
        count_changes[count_key(after)] += 1
    _release_key(connection, resolution, after.key, resolution.at)
    return True


def _mark_attempt(connection: apsw.Connection, row: Row) -> bool:
    """Update only the start of the attempt, if nothing else changes: no index has that column."""
    connection.execute(sql("ledger/mark_attempt"), row)
    return bool(connection.changes())


def _replace(
    connection: apsw.Connection, resolution: Resolution, count_changes: Counter[CountKey]
) -> bool:
    """Replace the row of a failed event by its outcome."""
    r, outcome = resolution, resolution.outcome
    expected = (r.flow, r.partition, r.offset, r.attempts, r.state, r.event)
    if not isinstance(outcome, FailedEvent):
        rest = (outcome, to_microseconds(r.at), r.version, r.actor, r.reason)
        connection.execute(sql("ledger/add_resolved_event"), (*expected, *rest))
    rows = fetch(connection, "ledger/remove_failed_event", expected)
    if not rows:
        return False
    key, fingerprint, error = rows[0]
    count_changes[CountKey(r.state, r.flow, fingerprint, error)] -= 1
    keys: set[str | None] = {key}
    if isinstance(outcome, FailedEvent):
        connection.execute(sql("ledger/add_failed_event"), ROW_CODEC.encode_failed_event(outcome))
        count_changes[count_key(outcome)] += 1
        keys.add(outcome.key)
    for key in keys:
        _release_key(connection, r, key, r.at)
    return True


def _record_range(connection: apsw.Connection, settlement: Settlement) -> None:
    row = (
        settlement.flow,
        settlement.partition,
        settlement.start,
        settlement.end,
        settlement.version,
        to_microseconds(settlement.at),
        *settlement.counts.values(),
    )
    max_span = MAX_RANGE_SPAN // timedelta(microseconds=1)
    connection.execute(sql("ledger/extend_settled_range"), (*row, max_span))
    if not connection.changes():
        connection.execute(sql("ledger/add_settled_range"), row)


def _release_key(
    connection: apsw.Connection, lane: Settlement | Resolution, key: str | None, at: datetime
) -> None:
    if key is not None:
        row = (lane.flow, lane.partition, key, to_microseconds(at))
        connection.execute(sql("ledger/release_key"), row)
