"""Verify conservation: every event of every flow is in exactly one state."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from busway.control.replay.operation import replay_ends
from busway.lane import FailedEventCounts, Lane, LaneId
from busway.ports import Ledger, Log
from busway.settlement import SettledRange

ATTEMPTS = 20


class Imbalance(msgspec.Struct, frozen=True):
    """An imbalance of a lane; two checks find the same ``identity`` even while numbers grow."""

    lane: str
    kind: str
    difference: int
    text: str

    @property
    def identity(self) -> tuple[str, str, int]:
        return (self.lane, self.kind, self.difference)


async def check_conservation(log: Log, ledger: Ledger) -> list[str]:
    """Return one line for each imbalance; an empty list if everything is consistent.

    For every lane, the counts add up to the number of events that its cursor has passed, the cursor
    is within the log (that of a replay within its range), the counted parked and dead events exist,
    and the settled ranges cover everything from its start to its cursor without a gap or an
    overlap. A server may be running: only an imbalance that every check finds is reported.
    """
    imbalances = await _find_imbalances(log, ledger)
    for _ in range(ATTEMPTS - 1):
        if not imbalances:
            break
        identities = {imbalance.identity for imbalance in await _find_imbalances(log, ledger)}
        imbalances = [imbalance for imbalance in imbalances if imbalance.identity in identities]
    return [f"{imbalance.lane}: {imbalance.text}" for imbalance in imbalances]


async def _find_imbalances(log: Log, ledger: Ledger) -> list[Imbalance]:
    imbalances: list[Imbalance] = []
    failed_counts = await ledger.count_failed_events()
    lanes, ends_of_replays = await ledger.lanes(), await replay_ends(ledger)
    for lane in lanes:
        end = (await log.bounds(lane.partition)).end
        ranges = await ledger.settled_ranges(lane.flow, lane.partition)
        imbalances += [
            *_check_counts(lane, end),
            *_check_failed_events(lane, failed_counts),
            *_check_ranges(lane, ranges),
        ]
        imbalances += _check_replay(lane, ends_of_replays.get(lane.id))
    known = {lane.id for lane in lanes}
    for flow, partition in failed_counts.keys() - known:
        name = f"flow {flow}, partition {partition}"
        imbalances.append(Imbalance(name, "lane", 0, "it has failed events but no lane"))
    return imbalances


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
    for state, counted, present in (
        ("parked", lane.counts.parked, stored.parked),
        ("dead", lane.counts.dead, stored.dead),
    ):
        if counted != present:
            text = f"{counted} events are counted as {state}, but {present} exist"
            yield _imbalance(lane, state, counted - present, text)


def _check_ranges(lane: Lane, ranges: Sequence[SettledRange]) -> Iterator[Imbalance]:
    position = lane.start
    for settled in ranges:
        if settled.start != position:
            text = f"its settled ranges go from {position} to {settled.start}: a gap or an overlap"
            yield _imbalance(lane, "gap", settled.start, text)
        if settled.counts.total != settled.end - settled.start:
            text = f"the range {settled.start}..{settled.end} counts {settled.counts.total} events"
            yield _imbalance(lane, "range", settled.start, text)
        position = settled.end
    if position != lane.cursor:
        text = f"its settled ranges end at {position}, but its cursor is at {lane.cursor}"
        yield _imbalance(lane, "cursor", position - lane.cursor, text)
