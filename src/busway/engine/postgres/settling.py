"""What settlements and verdicts do to the ledger's tables, inside a transaction."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime

from busway.conservation import moved, resolved
from busway.engine.postgres.database import Connection, fetch, run_many
from busway.engine.postgres.row import ROWS, columns
from busway.lane import MERGED_WITHIN, Counts, Lease, Settlement, Trouble, Verdict

Place = tuple[str, int, int]
LaneName = tuple[str, int]


def settle_row(s: Settlement) -> tuple[object, ...]:
    """Return the values of ``ledger/settle``."""
    place = (s.flow, s.partition, s.start, s.end, s.version, s.at)
    return (*place, *s.counts.values(), MERGED_WITHIN, s.epoch)


def settle_rows(settlements: Sequence[Settlement]) -> tuple[object, ...]:
    """Return the values of ``ledger/settle_all``."""
    rows = [
        (s.flow, s.partition, s.start, s.end, s.version, s.at, *s.counts.values(), s.epoch)
        for s in settlements
    ]
    return (*columns(rows), MERGED_WITHIN)


async def settle(connection: Connection, s: Settlement) -> bool:
    """Move the lane on where it stands at the settlement's start; say whether it did."""
    ((applied,),) = await fetch(connection, "ledger/settle", *settle_row(s))
    if applied and s.troubles:
        await _add(connection, s.troubles)
        keys = {one.key for one in s.troubles if one.due is None and one.key is not None}
        await _release(connection, [(s.flow, s.partition, key, s.at) for key in sorted(keys)])
    return bool(applied)


async def lock(connection: Connection, changing: Sequence[Settlement | Verdict | Lease]) -> None:
    """Lock the lanes that change, before anything else is, so that nobody waits in a circle."""
    lanes = sorted({(one.flow, one.partition) for one in changing})
    if lanes:
        await fetch(connection, "ledger/lock_lanes", *columns(lanes))


async def judge(connection: Connection, verdicts: Sequence[Verdict]) -> list[bool]:
    """Put what troubles of locked lanes became in their place where they stand as judged.

    Says which did.
    """
    applied = [False] * len(verdicts)
    for turn in _turns(verdicts):
        for number in await _judge(connection, [verdicts[number] for number in turn]):
            applied[turn[number]] = True
    return applied


def _turns(verdicts: Sequence[Verdict]) -> Iterable[list[int]]:
    """Return the numbers of verdicts, in turns that judge each trouble at most once."""
    turns: list[list[int]] = []
    seen: Counter[Place] = Counter()
    for number, one in enumerate(verdicts):
        place = (one.flow, one.partition, one.offset)
        if seen[place] == len(turns):
            turns.append([])
        turns[seen[place]].append(number)
        seen[place] += 1
    return turns


async def _judge(connection: Connection, verdicts: Sequence[Verdict]) -> list[int]:
    given = [(v.flow, v.partition, v.offset, v.attempts, v.state, v.event) for v in verdicts]
    found = await fetch(connection, "ledger/take_troubles", *columns(given))
    taken = {int(row[0]) - 1: ROWS.trouble(row[1:]) for row in found}
    judged = {number: verdicts[number] for number in sorted(taken)}
    await _add(connection, [v.became for v in judged.values() if isinstance(v.became, Trouble)])
    gone = [one for n, v in judged.items() for one in resolved(taken[n], v)]
    if gone:
        await run_many(connection, "ledger/add_resolved", [ROWS.resolved_row(one) for one in gone])
    await _recount(connection, judged.values())
    await _release_all(connection, [(taken[n], v) for n, v in judged.items()])
    return list(judged)


async def _add(connection: Connection, troubles: Sequence[Trouble]) -> None:
    if troubles:
        rows = [ROWS.trouble_row(one) for one in troubles]
        await fetch(connection, "ledger/add_troubles", *columns(rows))


async def _recount(connection: Connection, verdicts: Iterable[Verdict]) -> None:
    changes: defaultdict[LaneName, Counts] = defaultdict(Counts)
    for one in verdicts:
        became = one.became.state if isinstance(one.became, Trouble) else one.became
        changes[one.flow, one.partition] += moved(one.state, became)
    for (flow, partition), change in changes.items():
        if any(change.values()):
            await fetch(connection, "ledger/recount", flow, partition, *change.values())


async def _release_all(connection: Connection, judged: Sequence[tuple[Trouble, Verdict]]) -> None:
    """Give those a due time that are now the first of their key, in one statement."""
    found: dict[tuple[LaneName, str], datetime] = {}
    for before, verdict in judged:
        after = verdict.became if isinstance(verdict.became, Trouble) else None
        if after is not None and _stays(before, after):
            continue
        for key in (before.key, None if after is None else after.key):
            if key is not None:
                found[(verdict.flow, verdict.partition), key] = verdict.at
    await _release(connection, [(*lane, key, at) for (lane, key), at in found.items()])


def _stays(before: Trouble, after: Trouble) -> bool:
    """Say whether a trouble is parked as before, so that nothing behind it becomes the first."""
    parked = before.state == after.state == "parked" and before.key == after.key
    return parked and (after.due is not None or before.due is None)


async def _release(connection: Connection, keys: Sequence[tuple[str, int, str, datetime]]) -> None:
    if keys:
        await fetch(connection, "ledger/release_keys", *columns(keys))
