"""What a settlement and a verdict do to the ledger's tables, inside a transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import apsw

from busway.conservation import moved
from busway.engine.sqlite.cause import Cause, cause_of, count_causes
from busway.engine.sqlite.database import Row, rows, sql
from busway.engine.sqlite.moment import stored
from busway.engine.sqlite.row import ROWS, as_moved
from busway.lane import MERGED_WITHIN, Counts, Lease, Settlement, State, Trouble, Verdict

_Move = tuple[str, int, State, str]
"""A trouble's lane, what it was, and what it became."""


def settle(connection: apsw.Connection, settlement: Settlement) -> bool:
    """Move the lane on where it stands at the settlement's start; say whether it did."""
    s, counts = settlement, settlement.counts.values()
    place = (s.flow, s.partition, s.start, s.end)
    connection.execute(sql("ledger/settle"), (*place, *counts, s.epoch))
    if not connection.changes():
        return False
    if s.end > s.start:
        _record(connection, settlement)
    for each in s.troubles:
        connection.execute(sql("ledger/add_trouble"), ROWS.trouble_row(each))
    count_causes(connection, Counter(map(cause_of, s.troubles)))
    for key in {each.key for each in s.troubles if each.due is None}:
        _release(connection, s, key, s.at)
    return True


def lease(connection: apsw.Connection, wanted: Lease) -> int | None:
    """Give a lane to a worker where its epoch is as seen; return the new epoch."""
    given = (wanted.flow, wanted.partition, wanted.epoch, wanted.worker)
    connection.execute(sql("ledger/lease"), given)
    return wanted.epoch + 1 if connection.changes() else None


def judge(connection: apsw.Connection, verdicts: Sequence[Verdict]) -> list[bool]:
    """Put what each trouble became in its place where it stands as judged; say where it did."""
    moves: Counter[_Move] = Counter()
    causes: Counter[Cause] = Counter()
    applied = []
    for verdict in verdicts:
        done = _moved_on(connection, verdict, causes) or _replaced(connection, verdict, causes)
        applied.append(done)
        if done:
            became = verdict.became
            state = became.state if isinstance(became, Trouble) else became
            moves[verdict.flow, verdict.partition, verdict.state, state] += 1
    for lane, change in _changed(moves).items():
        connection.execute(sql("ledger/recount"), (*lane, *change.values()))
    count_causes(connection, causes)
    return applied


def _changed(moves: Counter[_Move]) -> Mapping[tuple[str, int], Counts]:
    """Return what each lane's counts change by, where they do."""
    found: dict[tuple[str, int], Counts] = {}
    for (flow, partition, before, became), count in moves.items():
        if before != became:
            change = found.get((flow, partition), Counts())
            found[flow, partition] = change + moved(before, became, count)
    return found


def _moved_on(connection: apsw.Connection, verdict: Verdict, causes: Counter[Cause]) -> bool:
    """Change only where a trouble stands, if that is all that is new: its row is not rewritten."""
    became = verdict.became
    if not isinstance(became, Trouble) or verdict.event not in (None, became.event):
        return False
    row, standing = as_moved(ROWS.trouble_row(became)), (verdict.attempts, verdict.state)
    if standing == (became.attempts, became.state) and _claimed(connection, row):
        return True
    connection.execute(sql("ledger/move_trouble"), (*row, *standing))
    if not connection.changes():
        return False
    if verdict.state != became.state:
        causes[verdict.state, became.flow, became.fingerprint, became.error] -= 1
        causes[cause_of(became)] += 1
    _release(connection, verdict, became.key, verdict.at)
    return True


def _claimed(connection: apsw.Connection, row: Row) -> bool:
    """Change only when its attempt began, if that is all that is new: no index has that."""
    connection.execute(sql("ledger/claim_trouble"), row)
    return bool(connection.changes())


def _replaced(connection: apsw.Connection, verdict: Verdict, causes: Counter[Cause]) -> bool:
    """Take a trouble's row away, and put in its place what it became."""
    became = verdict.became
    place = (verdict.flow, verdict.partition, verdict.offset)
    standing = (*place, verdict.attempts, verdict.state, verdict.event)
    if not isinstance(became, Trouble):
        by = (verdict.version, verdict.who, verdict.reason)
        connection.execute(sql("ledger/remember"), (*standing, became, stored(verdict.at), *by))
    found = rows(connection, "ledger/remove_trouble", standing)
    if not found:
        return False
    key, fingerprint, error = found[0]
    causes[verdict.state, verdict.flow, fingerprint, error] -= 1
    keys: set[str | None] = {key}
    if isinstance(became, Trouble):
        connection.execute(sql("ledger/add_trouble"), ROWS.trouble_row(became))
        causes[cause_of(became)] += 1
        keys.add(became.key)
    for key in keys:
        _release(connection, verdict, key, verdict.at)
    return True


def _record(connection: apsw.Connection, s: Settlement) -> None:
    row = (s.flow, s.partition, s.start, s.end, s.version, stored(s.at), *s.counts.values())
    within = MERGED_WITHIN // timedelta(microseconds=1)
    connection.execute(sql("ledger/extend_settled"), (*row, within))
    if not connection.changes():
        connection.execute(sql("ledger/add_settled"), row)


def _release(
    connection: apsw.Connection, lane: Settlement | Verdict, key: str | None, at: datetime
) -> None:
    if key is not None:
        row = (lane.flow, lane.partition, key, stored(at))
        connection.execute(sql("ledger/release_key"), row)
