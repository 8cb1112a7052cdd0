"""What failed again in a replay is no second dead letter: the first one takes its attempts.

A dead letter of a replay is taken out where its flow, or an older replay of that, has one of the
same event. Both change in one transaction; where somebody has changed the first meanwhile (it was
redriven, say), it stays as that person wanted it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from busway.control.dead_letter.dead_letter import place_of
from busway.control.replay.operation import failed_again_count, failed_again_key
from busway.delivery.replay import replay_lane_name
from busway.delivery.replay_failure import merge_replay_failure
from busway.lane import FailedEvent, FailedEventQuery, Resolution, ValueChange
from busway.ports import Ledger

PAGE_SIZE = 500
_FailedPair = tuple[FailedEvent, FailedEvent]


async def merge_failed_again(ledger: Ledger, flow: str, ids: Sequence[str], at: datetime) -> int:
    """Merge the dead letters of a flow's replays, ``ids`` from the oldest on; return how many."""
    merged = 0
    for index, id in enumerate(ids):
        older = [flow, *(replay_lane_name(flow, one) for one in ids[:index])]
        after: tuple[str, int, int] | None = None
        while True:
            query = FailedEventQuery(
                state="dead", flow=replay_lane_name(flow, id), after=after, limit=PAGE_SIZE
            )
            letters = await ledger.failed_events(query)
            merged += await _merge_page(ledger, id, await _pairs(ledger, older, letters), at)
            if len(letters) < PAGE_SIZE:
                break
            after = (letters[-1].flow, letters[-1].partition, letters[-1].offset)
    return merged


async def _pairs(
    ledger: Ledger, older: Sequence[str], dead_letters: Sequence[FailedEvent]
) -> Sequence[_FailedPair]:
    """Return the letters that have a first one, with that."""
    found: dict[tuple[int, int], _FailedPair] = {}
    for partition in {one.partition for one in dead_letters}:
        here = {one.offset: one for one in dead_letters if one.partition == partition}
        for flow in older:
            firsts = await _between(ledger, (flow, partition), min(here), max(here))
            for offset in here.keys() & firsts.keys():
                found.setdefault((partition, offset), (firsts[offset], here[offset]))
    return list(found.values())


async def _between(
    ledger: Ledger, lane: tuple[str, int], first: int, last: int
) -> Mapping[int, FailedEvent]:
    """Return the dead letters of a lane from an offset up to another one, both included."""
    flow, partition = lane
    found: dict[int, FailedEvent] = {}
    after = (flow, partition, first - 1)
    while True:
        query = FailedEventQuery(
            state="dead", flow=flow, partition=partition, after=after, limit=PAGE_SIZE
        )
        page = await ledger.failed_events(query)
        found |= {one.offset: one for one in page if one.offset <= last}
        if len(page) < PAGE_SIZE or page[-1].offset > last:
            return found
        after = (flow, partition, page[-1].offset)


async def _merge_page(ledger: Ledger, id: str, pairs: Sequence[_FailedPair], at: datetime) -> int:
    if not pairs:
        return 0
    takes = [_resolution(first, merge_replay_failure(first, again), at) for first, again in pairs]
    goes = [_discard_duplicate(first, again, at) for first, again in pairs]
    count = await _count_failed_again(ledger, id, len(pairs))
    applied = await ledger.resolve([*goes, *takes], [], [count])
    done = sum(applied[: len(goes)])
    if done and done < len(goes):  # some were redriven or discarded in between
        await ledger.change_values([await _count_failed_again(ledger, id, done - len(goes))])
    return done


def _resolution(before: FailedEvent, after: FailedEvent, at: datetime) -> Resolution:
    place = (before.flow, before.partition, before.offset)
    return Resolution(*place, before.attempts, before.state, after, at)


def _discard_duplicate(first: FailedEvent, again: FailedEvent, at: datetime) -> Resolution:
    place = (again.flow, again.partition, again.offset)
    why = f"it failed again, and stays the dead letter {place_of(first)}"
    state = again.state
    return Resolution(*place, again.attempts, state, "discarded", at, actor="busway", reason=why)


async def _count_failed_again(ledger: Ledger, id: str, more: int) -> ValueChange:
    """Return the change of how many of a replay failed again."""
    name = failed_again_key(id)
    before = (await ledger.get_values(name)).get(name)
    value = await failed_again_count(ledger, id) + more
    return ValueChange(name, msgspec.json.encode(max(0, value)), expected=before)
