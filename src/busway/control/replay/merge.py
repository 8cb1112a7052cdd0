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
from busway.failed_event import FailedEvent, FailedEventQuery, Resolution
from busway.lane import EventRef, LaneId
from busway.named_value import ValueChange
from busway.ports import Ledger

PAGE_SIZE = 500
_FailedPair = tuple[FailedEvent, FailedEvent]


async def merge_failed_again(ledger: Ledger, flow: str, ids: Sequence[str], at: datetime) -> int:
    """Merge the dead letters of a flow's replays, ``ids`` from the oldest on; return how many."""
    merged = 0
    for index, id in enumerate(ids):
        older = [flow, *(replay_lane_name(flow, one) for one in ids[:index])]
        after: EventRef | None = None
        while True:
            query = FailedEventQuery(
                state="dead", flow=replay_lane_name(flow, id), after=after, limit=PAGE_SIZE
            )
            letters = await ledger.failed_events(query)
            merged += await _merge_page(ledger, id, await _pairs(ledger, older, letters), at)
            if len(letters) < PAGE_SIZE:
                break
            after = letters[-1].ref
    return merged


async def _pairs(
    ledger: Ledger, older: Sequence[str], dead_letters: Sequence[FailedEvent]
) -> Sequence[_FailedPair]:
    """Return the letters that have a first one, with that."""
    pairs: list[_FailedPair] = []
    for partition in {letter.partition for letter in dead_letters}:
        letters = {
            letter.offset: letter for letter in dead_letters if letter.partition == partition
        }
        firsts: dict[int, FailedEvent] = {}
        for flow in older:
            lane = LaneId(flow, partition)
            firsts = {**await _between(ledger, lane, min(letters), max(letters)), **firsts}
        pairs += [(firsts[offset], letters[offset]) for offset in letters if offset in firsts]
    return pairs


async def _between(
    ledger: Ledger, lane: LaneId, first: int, last: int
) -> Mapping[int, FailedEvent]:
    """Return the dead letters of a lane from an offset up to another one, both included."""
    found: dict[int, FailedEvent] = {}
    after = EventRef(*lane, first - 1)
    while True:
        query = FailedEventQuery(
            state="dead", flow=lane.flow, partition=lane.partition, after=after, limit=PAGE_SIZE
        )
        page = await ledger.failed_events(query)
        found |= {one.offset: one for one in page if one.offset <= last}
        if len(page) < PAGE_SIZE or page[-1].offset > last:
            return found
        after = page[-1].ref


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
    return Resolution(*before.ref, before.attempts, before.state, after, at)


def _discard_duplicate(first: FailedEvent, again: FailedEvent, at: datetime) -> Resolution:
    why = f"it failed again, and stays the dead letter {place_of(first)}"
    state = again.state
    return Resolution(
        *again.ref, again.attempts, state, "discarded", at, actor="busway", reason=why
    )


async def _count_failed_again(ledger: Ledger, id: str, more: int) -> ValueChange:
    """Return the change of how many of a replay failed again."""
    name = failed_again_key(id)
    before = (await ledger.get_values(name)).get(name)
    value = await failed_again_count(ledger, id) + more
    return ValueChange(name, msgspec.json.encode(max(0, value)), expected=before)
