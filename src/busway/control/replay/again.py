"""What failed again in a replay is no second dead letter: the first one takes its attempts.

A dead letter of a replay is taken out where its flow, or an older replay of that, has one of the
same event. Both change in one transaction; where somebody has changed the first meanwhile (it was
redriven, say), it stays as that person wanted it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from busway.control.dead.letter import place_of
from busway.control.replay.operation import again_name, failed_again
from busway.delivery.again import failed_again_elsewhere
from busway.delivery.replay import replay_name
from busway.lane import Change, Query, Trouble, Verdict
from busway.ports import Ledger

PAGE = 500
_Pair = tuple[Trouble, Trouble]


async def merge(ledger: Ledger, flow: str, ids: Sequence[str], at: datetime) -> int:
    """Merge the dead letters of a flow's replays, ``ids`` from the oldest on; return how many."""
    merged = 0
    for index, id in enumerate(ids):
        older = [flow, *(replay_name(flow, one) for one in ids[:index])]
        after: tuple[str, int, int] | None = None
        while True:
            query = Query(state="dead", flow=replay_name(flow, id), after=after, limit=PAGE)
            letters = await ledger.troubles(query)
            merged += await _merge_page(ledger, id, await _pairs(ledger, older, letters), at)
            if len(letters) < PAGE:
                break
            after = (letters[-1].flow, letters[-1].partition, letters[-1].offset)
    return merged


async def _pairs(
    ledger: Ledger, older: Sequence[str], letters: Sequence[Trouble]
) -> Sequence[_Pair]:
    """Return the letters that have a first one, with that."""
    found: dict[tuple[int, int], _Pair] = {}
    for partition in {one.partition for one in letters}:
        here = {one.offset: one for one in letters if one.partition == partition}
        for flow in older:
            firsts = await _between(ledger, (flow, partition), min(here), max(here))
            for offset in here.keys() & firsts.keys():
                found.setdefault((partition, offset), (firsts[offset], here[offset]))
    return list(found.values())


async def _between(
    ledger: Ledger, lane: tuple[str, int], first: int, last: int
) -> Mapping[int, Trouble]:
    """Return the dead letters of a lane from an offset up to another one, both included."""
    flow, partition = lane
    found: dict[int, Trouble] = {}
    after = (flow, partition, first - 1)
    while True:
        query = Query(state="dead", flow=flow, partition=partition, after=after, limit=PAGE)
        page = await ledger.troubles(query)
        found |= {one.offset: one for one in page if one.offset <= last}
        if len(page) < PAGE or page[-1].offset > last:
            return found
        after = (flow, partition, page[-1].offset)


async def _merge_page(ledger: Ledger, id: str, pairs: Sequence[_Pair], at: datetime) -> int:
    if not pairs:
        return 0
    takes = [_verdict(first, failed_again_elsewhere(first, again), at) for first, again in pairs]
    goes = [_gone(first, again, at) for first, again in pairs]
    count = await _count(ledger, id, len(pairs))
    applied = await ledger.judge([*goes, *takes], [], [count])
    done = sum(applied[: len(goes)])
    if done and done < len(goes):  # some were redriven or discarded in between
        await ledger.change([await _count(ledger, id, done - len(goes))])
    return done


def _verdict(before: Trouble, after: Trouble, at: datetime) -> Verdict:
    place = (before.flow, before.partition, before.offset)
    return Verdict(*place, before.attempts, before.state, after, at)


def _gone(first: Trouble, again: Trouble, at: datetime) -> Verdict:
    place = (again.flow, again.partition, again.offset)
    why = f"it failed again, and stays the dead letter {place_of(first)}"
    state = again.state
    return Verdict(*place, again.attempts, state, "discarded", at, who="busway", reason=why)


async def _count(ledger: Ledger, id: str, more: int) -> Change:
    """Return the change of how many of a replay failed again."""
    name = again_name(id)
    before = (await ledger.get(name)).get(name)
    value = await failed_again(ledger, id) + more
    return Change(name, msgspec.json.encode(max(0, value)), expected=before)
