"""Verify conservation: that every event of every flow is in exactly one place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from busway.ports import Lane, Ledger, Log, Settled


async def check(log: Log, ledger: Ledger) -> list[str]:
    """Return what is off, one line each; an empty list when all adds up.

    For every lane: the counts add up to what its cursor has passed, the cursor is within the log,
    the parked and dead events that are counted are there, and the settled ranges cover everything
    from its start to its cursor, without a gap or an overlap.
    """
    found: list[str] = []
    kept = await ledger.count_troubles()
    lanes = await ledger.lanes()
    for lane in lanes:
        _, end = await log.bounds(lane.partition)
        name = f"flow {lane.flow}, partition {lane.partition}"
        ranges = await ledger.settled(lane.flow, lane.partition)
        problems = (*_counts(lane, end), *_troubles(lane, kept), *_ranges(lane, ranges))
        found += [f"{name}: {problem}" for problem in problems]
    known = {(lane.flow, lane.partition) for lane in lanes}
    for flow, partition in kept.keys() - known:
        found.append(f"flow {flow}, partition {partition}: it has troubled events but no lane")
    return found


def _counts(lane: Lane, end: int) -> Iterator[str]:
    passed = lane.cursor - lane.start
    if lane.counts.total != passed:
        yield f"its counts add up to {lane.counts.total}, but its cursor has passed {passed} events"
    if lane.cursor > end:
        yield f"its cursor is at {lane.cursor}, beyond the log's end at {end}"
    if min(lane.counts.values()) < 0:
        yield f"a count is negative: {lane.counts}"


def _troubles(lane: Lane, kept: Mapping[tuple[str, int], tuple[int, int]]) -> Iterator[str]:
    parked, dead = kept.get((lane.flow, lane.partition), (0, 0))
    if parked != lane.counts.parked:
        yield f"{lane.counts.parked} events are counted as parked, but {parked} are kept"
    if dead != lane.counts.dead:
        yield f"{lane.counts.dead} events are counted as dead, but {dead} are kept"


def _ranges(lane: Lane, ranges: Sequence[Settled]) -> Iterator[str]:
    position = lane.start
    for one in ranges:
        if one.start != position:
            yield f"its settled ranges go from {position} to {one.start}: a gap or an overlap"
        if one.counts.total != one.end - one.start:
            yield f"the range {one.start}..{one.end} counts {one.counts.total} events"
        position = one.end
    if position != lane.cursor:
        yield f"its settled ranges end at {position}, but its cursor is at {lane.cursor}"
