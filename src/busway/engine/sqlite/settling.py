"""What a settlement and a verdict do to the ledger's tables, inside a transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import apsw

from busway.conservation import moved, resolved
from busway.engine.sqlite.database import rows, sql
from busway.engine.sqlite.moment import stored
from busway.engine.sqlite.row import moved_row, resolved_row, trouble, trouble_row
from busway.lane import MERGED_WITHIN, Counts, Lease, Settlement, Trouble, Verdict


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
        connection.execute(sql("ledger/add_trouble"), trouble_row(each))
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
    moves: dict[tuple[str, int], Counts] = {}
    applied = []
    for verdict in verdicts:
        done = _moved_on(connection, verdict) or _replaced(connection, verdict)
        applied.append(done)
        if done:
            became = verdict.became
            change = moved(verdict.state, became.state if isinstance(became, Trouble) else became)
            lane = (verdict.flow, verdict.partition)
            moves[lane] = moves.get(lane, Counts()) + change
    for lane, change in moves.items():
        if change != Counts():
            connection.execute(sql("ledger/recount"), (*lane, *change.values()))
    return applied


def _moved_on(connection: apsw.Connection, verdict: Verdict) -> bool:
    """Change only where a trouble stands, if that is all that is new: its row is not rewritten."""
    became = verdict.became
    if not isinstance(became, Trouble) or verdict.event not in (None, became.event):
        return False
    row = moved_row(became)
    connection.execute(sql("ledger/move_trouble"), (*row, verdict.attempts, verdict.state))
    if not connection.changes():
        return False
    _release(connection, verdict, became.key, verdict.at)
    return True


def _replaced(connection: apsw.Connection, verdict: Verdict) -> bool:
    place, became = (verdict.flow, verdict.partition, verdict.offset), verdict.became
    found = rows(connection, "ledger/standing", (*place, verdict.event))
    if not found or found[0][:2] != (verdict.attempts, verdict.state):
        return False
    _remember(connection, verdict)
    connection.execute(sql("ledger/remove_trouble"), place)
    keys: set[str | None] = {found[0][2]}
    if isinstance(became, Trouble):
        connection.execute(sql("ledger/add_trouble"), trouble_row(became))
        keys.add(became.key)
    for key in keys:
        _release(connection, verdict, key, verdict.at)
    return True


def _remember(connection: apsw.Connection, verdict: Verdict) -> None:
    if isinstance(verdict.became, Trouble):
        return
    place = (verdict.flow, verdict.partition, verdict.offset)
    for one in resolved(trouble(rows(connection, "ledger/get_trouble", place)[0]), verdict):
        connection.execute(sql("ledger/add_resolved"), resolved_row(one))


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
