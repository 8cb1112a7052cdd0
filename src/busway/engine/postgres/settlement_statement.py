"""Apply settlements and resolutions to the ledger's tables, inside a transaction."""

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
    values = (
        settlement.flow,
        settlement.partition,
        settlement.start,
        settlement.end,
        settlement.version,
        settlement.at,
    )
    return (*values, *settlement.counts.values(), MAX_RANGE_SPAN, settlement.fencing_token)


def settle_rows(settlements: Sequence[Settlement]) -> tuple[object, ...]:
    """Return the values of ``ledger/settle_many``."""
    rows = [
        (s.flow, s.partition, s.start, s.end, s.version, s.at, *s.counts.values(), s.fencing_token)
        for s in settlements
    ]
    return (*transpose(rows), MAX_RANGE_SPAN)


async def settle(connection: Connection, settlement: Settlement) -> bool:
    """Advance the lane if its cursor is at the settlement's start; return whether it was."""
    ((applied,),) = await fetch(connection, "ledger/settle", *settle_row(settlement))
    if applied and settlement.failed_events:
        await _add_failed_events(connection, settlement.failed_events)
        keys = {
            event.key
            for event in settlement.failed_events
            if event.due is None and event.key is not None
        }
        await _release_keys(
            connection,
            [(settlement.flow, settlement.partition, key, settlement.at) for key in sorted(keys)],
        )
    return bool(applied)


async def lock_lanes(
    connection: Connection, changing: Sequence[Settlement | Resolution | LeaseRequest]
) -> None:
    """Lock the lanes that change, before any other row, to avoid deadlocks."""
    lanes = sorted({(change.flow, change.partition) for change in changing})
    if lanes:
        await fetch(connection, "ledger/lock_lanes", *transpose(lanes))


async def resolve(connection: Connection, resolutions: Sequence[Resolution]) -> list[bool]:
    """Apply resolutions to failed events of locked lanes; return which ones were as expected."""
    applied = [False] * len(resolutions)
    for numbers in _rounds(resolutions):
        for index in await _resolve_round(connection, [resolutions[n] for n in numbers]):
            applied[numbers[index]] = True
    return applied


def _rounds(resolutions: Sequence[Resolution]) -> Iterable[list[int]]:
    """Return the numbers of resolutions in rounds with at most one for each failed event."""
    rounds: list[list[int]] = []
    occurrences: Counter[EventRef] = Counter()
    for number, resolution in enumerate(resolutions):
        if occurrences[resolution.ref] == len(rounds):
            rounds.append([])
        rounds[occurrences[resolution.ref]].append(number)
        occurrences[resolution.ref] += 1
    return rounds


async def _resolve_round(connection: Connection, resolutions: Sequence[Resolution]) -> list[int]:
    expected = [(r.flow, r.partition, r.offset, r.attempts, r.state, r.event) for r in resolutions]
    rows = await fetch(connection, "ledger/take_failed_events", *transpose(expected))
    taken = {int(row[0]) - 1: ROW_CODEC.decode_failed_event(row[1:]) for row in rows}
    applied = {number: resolutions[number] for number in sorted(taken)}
    await _add_failed_events(
        connection, [r.outcome for r in applied.values() if isinstance(r.outcome, FailedEvent)]
    )
    resolved = [event for n, r in applied.items() for event in resolved_events(taken[n], r)]
    if resolved:
        await execute_many(
            connection,
            "ledger/add_resolved_event",
            [ROW_CODEC.encode_resolved_event(event) for event in resolved],
        )
    await _adjust_counts(connection, applied.values())
    await _release_next(connection, [(taken[n], r) for n, r in applied.items()])
    return list(applied)


async def _add_failed_events(connection: Connection, events: Sequence[FailedEvent]) -> None:
    if events:
        rows = [ROW_CODEC.encode_failed_event(event) for event in events]
        await fetch(connection, "ledger/add_failed_events", *transpose(rows))


async def _adjust_counts(connection: Connection, resolutions: Iterable[Resolution]) -> None:
    changes: defaultdict[LaneId, Counts] = defaultdict(Counts)
    for resolution in resolutions:
        outcome = resolution.outcome
        state = outcome.state if isinstance(outcome, FailedEvent) else outcome
        lane = LaneId(resolution.flow, resolution.partition)
        changes[lane] += count_change(resolution.state, state)
    for (flow, partition), change in changes.items():
        if any(change.values()):
            await fetch(connection, "ledger/adjust_counts", flow, partition, *change.values())


async def _release_next(
    connection: Connection, resolved: Sequence[tuple[FailedEvent, Resolution]]
) -> None:
    """Make the events due that are now the first of their key, in one statement."""
    due_times: dict[tuple[LaneId, str], datetime] = {}
    for before, resolution in resolved:
        outcome = resolution.outcome
        after = outcome if isinstance(outcome, FailedEvent) else None
        if after is not None and _stays_parked(before, after):
            continue
        for key in (before.key, None if after is None else after.key):
            if key is not None:
                lane = LaneId(resolution.flow, resolution.partition)
                due_times[lane, key] = resolution.at
    await _release_keys(connection, [(*lane, key, at) for (lane, key), at in due_times.items()])


def _stays_parked(before: FailedEvent, after: FailedEvent) -> bool:
    """Return whether an event stays parked, so that no later event becomes the first of its key."""
    is_parked = before.state == after.state == "parked" and before.key == after.key
    return is_parked and (after.due is not None or before.due is None)


async def _release_keys(
    connection: Connection, keys: Sequence[tuple[str, int, str, datetime]]
) -> None:
    if keys:
        await fetch(connection, "ledger/release_keys", *transpose(keys))
