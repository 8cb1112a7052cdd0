"""Verify conservation: that every event of every flow is in exactly one place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from busway.control.replay.operation import replay_ends
from busway.lane import FailedEventCounts, Lane, LaneId
from busway.ports import Ledger, Log
from busway.settlement import SettledRange

ATTEMPTS = 20


class Imbalance(msgspec.Struct, frozen=True):
    """What is off in a lane, and by how much: the same in two looks even where numbers grow."""

    lane: str
    kind: str
    difference: int
    text: str

    @property
    def identity(self) -> tuple[str, str, int]:
        return (self.lane, self.kind, self.difference)


async def check_conservation(log: Log, ledger: Ledger) -> list[str]:
    """Return what is off, one line each; an empty list when all adds up.

    For every lane: the counts add up to what its cursor has passed, the cursor is within the log
    (a replay's within what it replays), the parked and dead events that are counted are there, and
    the settled ranges cover everything from its start to its cursor, without a gap or an overlap. A
    server may be at work meanwhile: what changes between two reads is no fault, what is off in
    every look is one.
    """
    found = await _find_imbalances(log, ledger)
    for _ in range(ATTEMPTS - 1):
        if not found:
            break
        again = {one.identity for one in await _find_imbalances(log, ledger)}
        found = [one for one in found if one.identity in again]
    return [f"{one.lane}: {one.text}" for one in found]


async def _find_imbalances(log: Log, ledger: Ledger) -> list[Imbalance]:
    found: list[Imbalance] = []
    kept = await ledger.count_failed_events()
    lanes, ends_of_replays = await ledger.lanes(), await replay_ends(ledger)
    for lane in lanes:
        end = (await log.bounds(lane.partition)).end
        ranges = await ledger.settled_ranges(lane.flow, lane.partition)
        found += [
            *_check_counts(lane, end),
            *_check_failed_events(lane, kept),
            *_check_ranges(lane, ranges),
        ]
        found += _check_replay(lane, ends_of_replays.get(lane.id))
    known = {lane.id for lane in lanes}
    for flow, partition in kept.keys() - known:
        name = f"flow {flow}, partition {partition}"
        found.append(Imbalance(name, "lane", 0, "it has troubled events but no lane"))
    return found


def _imbalance(lane: Lane, kind: str, off_by: int, text: str) -> Imbalance:
    return Imbalance(f"flow {lane.flow}, partition {lane.partition}", kind, off_by, text)


def _check_counts(lane: Lane, end: int) -> Iterator[Imbalance]:
    passed, total = lane.cursor - lane.start, lane.counts.total
    if total != passed:
        text = f"its counts add up to {total}, but its cursor has passed {passed} events"
        yield _imbalance(lane, "total", total - passed, text)
    if lane.cursor > end:
        text = f"its cursor is at {lane.cursor}, beyond the log's end at {end}"
        yield _imbalance(lane, "end", 0, text)
    if min(lane.counts.values()) < 0:
        yield _imbalance(lane, "negative", 0, f"a count is negative: {lane.counts}")


def _check_replay(lane: Lane, end: int | None) -> Iterator[Imbalance]:
    if end is not None and lane.cursor > end:
        text = f"its cursor is at {lane.cursor}, beyond the end of the replay at {end}"
        yield _imbalance(lane, "replay", lane.cursor - end, text)


def _check_failed_events(
    lane: Lane, kept: Mapping[LaneId, FailedEventCounts]
) -> Iterator[Imbalance]:
    stored = kept.get(lane.id, FailedEventCounts())
    for state, counted, there in (
        ("parked", lane.counts.parked, stored.parked),
        ("dead", lane.counts.dead, stored.dead),
    ):
        if counted != there:
            text = f"{counted} events are counted as {state}, but {there} are kept"
            yield _imbalance(lane, state, counted - there, text)


def _check_ranges(lane: Lane, ranges: Sequence[SettledRange]) -> Iterator[Imbalance]:
    position = lane.start
    for one in ranges:
        if one.start != position:
            text = f"its settled ranges go from {position} to {one.start}: a gap or an overlap"
            yield _imbalance(lane, "gap", one.start, text)
        if one.counts.total != one.end - one.start:
            text = f"the range {one.start}..{one.end} counts {one.counts.total} events"
            yield _imbalance(lane, "range", one.start, text)
        position = one.end
    if position != lane.cursor:
        text = f"its settled ranges end at {position}, but its cursor is at {lane.cursor}"
        yield _imbalance(lane, "cursor", position - lane.cursor, text)
