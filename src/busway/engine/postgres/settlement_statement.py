"""What settlements and verdicts do to the ledger's tables, inside a transaction."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime

from busway.conservation import count_change, resolved_events
from busway.engine.postgres.database import Connection, execute_many, fetch
from busway.engine.postgres.row_codec import ROW_CODEC, transpose
from busway.failed_event import FailedEvent, Resolution
from busway.lane import Counts, EventRef, LaneId, LeaseRequest
from busway.settlement import MAX_RANGE_SPAN, Settlement


def settle_row(settlement: Settlement) -> tuple[object, ...]:
    """Return the values of ``ledger/settle``."""
    place = (
        settlement.flow,
        settlement.partition,
        settlement.start,
        settlement.end,
        settlement.version,
        settlement.at,
    )
    return (*place, *settlement.counts.values(), MAX_RANGE_SPAN, settlement.fencing_token)


def settle_rows(settlements: Sequence[Settlement]) -> tuple[object, ...]:
    """Return the values of ``ledger/settle_many``."""
    rows = [
        (s.flow, s.partition, s.start, s.end, s.version, s.at, *s.counts.values(), s.fencing_token)
        for s in settlements
    ]
    return (*transpose(rows), MAX_RANGE_SPAN)


async def settle(connection: Connection, settlement: Settlement) -> bool:
    """Move the lane on where it stands at the settlement's start; say whether it did."""
    ((applied,),) = await fetch(connection, "ledger/settle", *settle_row(settlement))
    if applied and settlement.failed_events:
        await _add_failed_events(connection, settlement.failed_events)
        keys = {
            one.key for one in settlement.failed_events if one.due is None and one.key is not None
        }
        await _release_keys(
            connection,
            [(settlement.flow, settlement.partition, key, settlement.at) for key in sorted(keys)],
        )
    return bool(applied)


async def lock_lanes(
    connection: Connection, changing: Sequence[Settlement | Resolution | LeaseRequest]
) -> None:
    """Lock the lanes that change, before anything else is, so that nobody waits in a circle."""
    lanes = sorted({(one.flow, one.partition) for one in changing})
    if lanes:
        await fetch(connection, "ledger/lock_lanes", *transpose(lanes))


async def resolve(connection: Connection, verdicts: Sequence[Resolution]) -> list[bool]:
    """Put what troubles of locked lanes became in their place where they stand as judged.

    Says which did.
    """
    applied = [False] * len(verdicts)
    for turn in _rounds(verdicts):
        for number in await _resolve_round(connection, [verdicts[number] for number in turn]):
            applied[turn[number]] = True
    return applied


def _rounds(verdicts: Sequence[Resolution]) -> Iterable[list[int]]:
    """Return the numbers of verdicts, in turns that judge each trouble at most once."""
    turns: list[list[int]] = []
    seen: Counter[EventRef] = Counter()
    for number, one in enumerate(verdicts):
        if seen[one.ref] == len(turns):
            turns.append([])
        turns[seen[one.ref]].append(number)
        seen[one.ref] += 1
    return turns


async def _resolve_round(connection: Connection, verdicts: Sequence[Resolution]) -> list[int]:
    given = [(v.flow, v.partition, v.offset, v.attempts, v.state, v.event) for v in verdicts]
    found = await fetch(connection, "ledger/take_failed_events", *transpose(given))
    taken = {int(row[0]) - 1: ROW_CODEC.decode_failed_event(row[1:]) for row in found}
    judged = {number: verdicts[number] for number in sorted(taken)}
    await _add_failed_events(
        connection, [v.outcome for v in judged.values() if isinstance(v.outcome, FailedEvent)]
    )
    gone = [one for n, v in judged.items() for one in resolved_events(taken[n], v)]
    if gone:
        await execute_many(
            connection,
            "ledger/add_resolved_event",
            [ROW_CODEC.encode_resolved_event(one) for one in gone],
        )
    await _recount(connection, judged.values())
    await _release_next(connection, [(taken[n], v) for n, v in judged.items()])
    return list(judged)


async def _add_failed_events(connection: Connection, troubles: Sequence[FailedEvent]) -> None:
    if troubles:
        rows = [ROW_CODEC.encode_failed_event(one) for one in troubles]
        await fetch(connection, "ledger/add_failed_events", *transpose(rows))


async def _recount(connection: Connection, verdicts: Iterable[Resolution]) -> None:
    changes: defaultdict[LaneId, Counts] = defaultdict(Counts)
    for one in verdicts:
        became = one.outcome.state if isinstance(one.outcome, FailedEvent) else one.outcome
        changes[LaneId(one.flow, one.partition)] += count_change(one.state, became)
    for (flow, partition), change in changes.items():
        if any(change.values()):
            await fetch(connection, "ledger/adjust_counts", flow, partition, *change.values())


async def _release_next(
    connection: Connection, judged: Sequence[tuple[FailedEvent, Resolution]]
) -> None:
    """Give those a due time that are now the first of their key, in one statement."""
    found: dict[tuple[LaneId, str], datetime] = {}
    for before, verdict in judged:
        after = verdict.outcome if isinstance(verdict.outcome, FailedEvent) else None
        if after is not None and _stays_parked(before, after):
            continue
        for key in (before.key, None if after is None else after.key):
            if key is not None:
                found[LaneId(verdict.flow, verdict.partition), key] = verdict.at
    await _release_keys(connection, [(*lane, key, at) for (lane, key), at in found.items()])


def _stays_parked(before: FailedEvent, after: FailedEvent) -> bool:
    """Say whether a trouble is parked as before, so that nothing behind it becomes the first."""
    parked = before.state == after.state == "parked" and before.key == after.key
    return parked and (after.due is not None or before.due is None)


async def _release_keys(
    connection: Connection, keys: Sequence[tuple[str, int, str, datetime]]
) -> None:
    if keys:
        await fetch(connection, "ledger/release_keys", *transpose(keys))
