"""Merge the dead letters of a replay into those of its flow: one event is one dead letter.

A dead letter of a replay is discarded if its flow, or an older replay of it, already has a dead
letter of the same event, which takes over the attempts. Both change in one transaction; if the
first was changed concurrently (redriven, for example), it stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from busway.control.dead_letter.dead_letter import place_of
from busway.control.replay.counter import failed_again_count, failed_again_key
from busway.delivery.replay import replay_lane_name
from busway.delivery.replay_failure import merge_replay_failure
from busway.failed_event import FailedEvent, FailedEventQuery, Resolution
from busway.lane import EventRef, LaneId
from busway.named_value import ValueChange
from busway.ports import Ledger

PAGE_SIZE = 500
_FailedPair = tuple[FailedEvent, FailedEvent]


async def merge_failed_again(ledger: Ledger, flow: str, ids: Sequence[str], at: datetime) -> int:
    """Merge the dead letters of a flow's replays (``ids``, oldest first); return their number."""
    merged = 0
    for index, id in enumerate(ids):
        older = [flow, *(replay_lane_name(flow, older_id) for older_id in ids[:index])]
        after: EventRef | None = None
        while True:
            query = FailedEventQuery(
                state="dead", flow=replay_lane_name(flow, id), after=after, limit=PAGE_SIZE
            )
            dead_letters = await ledger.failed_events(query)
            merged += await _merge_page(ledger, id, await _pairs(ledger, older, dead_letters), at)
            if len(dead_letters) < PAGE_SIZE:
                break
            after = dead_letters[-1].ref
    return merged


async def _pairs(
    ledger: Ledger, older: Sequence[str], dead_letters: Sequence[FailedEvent]
) -> Sequence[_FailedPair]:
    """Pair each dead letter with an earlier dead letter of the same event, if there is one."""
    pairs: list[_FailedPair] = []
    for partition in {dead_letter.partition for dead_letter in dead_letters}:
        by_offset = {
            dead_letter.offset: dead_letter
            for dead_letter in dead_letters
            if dead_letter.partition == partition
        }
        firsts: dict[int, FailedEvent] = {}
        for flow in older:
            lane = LaneId(flow, partition)
            firsts = {**await _between(ledger, lane, min(by_offset), max(by_offset)), **firsts}
        pairs += [(firsts[offset], by_offset[offset]) for offset in by_offset if offset in firsts]
    return pairs


async def _between(
    ledger: Ledger, lane: LaneId, first: int, last: int
) -> Mapping[int, FailedEvent]:
    """Return the dead letters of a lane between two offsets, both included."""
    dead_letters: dict[int, FailedEvent] = {}
    after = EventRef(*lane, first - 1)
    while True:
        query = FailedEventQuery(
            state="dead", flow=lane.flow, partition=lane.partition, after=after, limit=PAGE_SIZE
        )
        page = await ledger.failed_events(query)
        dead_letters |= {
            dead_letter.offset: dead_letter for dead_letter in page if dead_letter.offset <= last
        }
        if len(page) < PAGE_SIZE or page[-1].offset > last:
            return dead_letters
        after = page[-1].ref


async def _merge_page(ledger: Ledger, id: str, pairs: Sequence[_FailedPair], at: datetime) -> int:
    if not pairs:
        return 0
    merged = [_resolution(first, merge_replay_failure(first, again), at) for first, again in pairs]
    discarded = [_discard_duplicate(first, again, at) for first, again in pairs]
    count = await _count_failed_again(ledger, id, len(pairs))
    applied = await ledger.resolve([*discarded, *merged], [], [count])
    done = sum(applied[: len(discarded)])
    if done and done < len(discarded):  # others were redriven or discarded concurrently
        await ledger.change_values([await _count_failed_again(ledger, id, done - len(discarded))])
    return done


def _resolution(before: FailedEvent, after: FailedEvent, at: datetime) -> Resolution:
    return Resolution(*before.ref, before.attempts, before.state, after, at)


def _discard_duplicate(first: FailedEvent, again: FailedEvent, at: datetime) -> Resolution:
    reason = f"it failed again; its attempts are added to the dead letter {place_of(first)}"
    state = again.state
    return Resolution(
        *again.ref, again.attempts, state, "discarded", at, actor="busway", reason=reason
    )


async def _count_failed_again(ledger: Ledger, id: str, more: int) -> ValueChange:
    """Return the change that adds to the failed-again count of a replay."""
    name = failed_again_key(id)
    before = (await ledger.get_values(name)).get(name)
    value = await failed_again_count(ledger, id) + more
    return ValueChange(name, msgspec.json.encode(max(0, value)), expected=before)
