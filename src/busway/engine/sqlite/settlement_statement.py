"""What a settlement and a verdict do to the ledger's tables, inside a transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import apsw

from busway.conservation import count_change
from busway.engine.sqlite.database import Row, fetch, sql
from busway.engine.sqlite.failed_event_count import CountKey, adjust_counts, count_key
from busway.engine.sqlite.row_codec import ROW_CODEC, state_update_values
from busway.engine.sqlite.timestamp import to_microseconds
from busway.failed_event import FailedEvent, FailedEventState, Resolution
from busway.lane import Counts, LaneId, LeaseRequest
from busway.settlement import MAX_RANGE_SPAN, Settlement

_StateChange = tuple[str, int, FailedEventState, str]
"""A trouble's lane, what it was, and what it became."""


def settle(connection: apsw.Connection, settlement: Settlement) -> bool:
    """Move the lane on where it stands at the settlement's start; say whether it did."""
    s, counts = settlement, settlement.counts.values()
    place = (s.flow, s.partition, s.start, s.end)
    connection.execute(sql("ledger/settle"), (*place, *counts, s.fencing_token))
    if not connection.changes():
        return False
    if s.end > s.start:
        _record_range(connection, settlement)
    for each in s.failed_events:
        connection.execute(sql("ledger/add_failed_event"), ROW_CODEC.encode_failed_event(each))
    adjust_counts(connection, Counter(map(count_key, s.failed_events)))
    for key in {each.key for each in s.failed_events if each.due is None}:
        _release_key(connection, s, key, s.at)
    return True


def lease(connection: apsw.Connection, wanted: LeaseRequest) -> int | None:
    """Give a lane to a worker where its epoch is as seen; return the new epoch."""
    given = (wanted.flow, wanted.partition, wanted.fencing_token, wanted.worker)
    connection.execute(sql("ledger/lease"), given)
    return wanted.fencing_token + 1 if connection.changes() else None


def resolve(connection: apsw.Connection, verdicts: Sequence[Resolution]) -> list[bool]:
    """Put what each trouble became in its place where it stands as judged; say where it did."""
    moves: Counter[_StateChange] = Counter()
    causes: Counter[CountKey] = Counter()
    applied = []
    for verdict in verdicts:
        done = _update_in_place(connection, verdict, causes) or _replace(
            connection, verdict, causes
        )
        applied.append(done)
        if done:
            became = verdict.outcome
            state = became.state if isinstance(became, FailedEvent) else became
            moves[verdict.flow, verdict.partition, verdict.state, state] += 1
    for lane, change in _lane_count_changes(moves).items():
        connection.execute(sql("ledger/adjust_counts"), (*lane, *change.values()))
    adjust_counts(connection, causes)
    return applied


def _lane_count_changes(moves: Counter[_StateChange]) -> Mapping[LaneId, Counts]:
    """Return what each lane's counts change by, where they do."""
    changes: dict[LaneId, Counts] = {}
    for (flow, partition, before, became), count in moves.items():
        if before != became:
            lane_id = LaneId(flow, partition)
            change = changes.get(lane_id, Counts())
            changes[lane_id] = change + count_change(before, became, count)
    return changes


def _update_in_place(
    connection: apsw.Connection, verdict: Resolution, count_changes: Counter[CountKey]
) -> bool:
    """Change only where a trouble stands, if that is all that is new: its row is not rewritten."""
    became = verdict.outcome
    if not isinstance(became, FailedEvent) or verdict.event not in (None, became.event):
        return False
    row, standing = (
        state_update_values(ROW_CODEC.encode_failed_event(became)),
        (verdict.attempts, verdict.state),
    )
    if standing == (became.attempts, became.state) and _mark_attempt(connection, row):
        return True
    connection.execute(sql("ledger/update_failed_event"), (*row, *standing))
    if not connection.changes():
        return False
    if verdict.state != became.state:
        count_changes[verdict.state, became.flow, became.fingerprint, became.error] -= 1
        count_changes[count_key(became)] += 1
    _release_key(connection, verdict, became.key, verdict.at)
    return True


def _mark_attempt(connection: apsw.Connection, row: Row) -> bool:
    """Change only when its attempt began, if that is all that is new: no index has that."""
    connection.execute(sql("ledger/mark_attempt"), row)
    return bool(connection.changes())


def _replace(
    connection: apsw.Connection, verdict: Resolution, count_changes: Counter[CountKey]
) -> bool:
    """Take a trouble's row away, and put in its place what it became."""
    became = verdict.outcome
    place = (verdict.flow, verdict.partition, verdict.offset)
    standing = (*place, verdict.attempts, verdict.state, verdict.event)
    if not isinstance(became, FailedEvent):
        by = (verdict.version, verdict.actor, verdict.reason)
        connection.execute(
            sql("ledger/add_resolved_event"), (*standing, became, to_microseconds(verdict.at), *by)
        )
    found = fetch(connection, "ledger/remove_failed_event", standing)
    if not found:
        return False
    key, fingerprint, error = found[0]
    count_changes[verdict.state, verdict.flow, fingerprint, error] -= 1
    keys: set[str | None] = {key}
    if isinstance(became, FailedEvent):
        connection.execute(sql("ledger/add_failed_event"), ROW_CODEC.encode_failed_event(became))
        count_changes[count_key(became)] += 1
        keys.add(became.key)
    for key in keys:
        _release_key(connection, verdict, key, verdict.at)
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
    within = MAX_RANGE_SPAN // timedelta(microseconds=1)
    connection.execute(sql("ledger/extend_settled_range"), (*row, within))
    if not connection.changes():
        connection.execute(sql("ledger/add_settled_range"), row)


def _release_key(
    connection: apsw.Connection, lane: Settlement | Resolution, key: str | None, at: datetime
) -> None:
    if key is not None:
        row = (lane.flow, lane.partition, key, to_microseconds(at))
        connection.execute(sql("ledger/release_key"), row)
