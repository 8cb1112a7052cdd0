"""What every ledger must do. Subclass a suite, say how to open your ledger, and run pytest.

::

    class TestMyLedger(DurableLedgerSuite):
        async def open_ledger(self, place: Path) -> Ledger:
            return await MyLedger.open(place / "ledger")
"""
# ruff: noqa: S101

from __future__ import annotations

import asyncio
import random
import string
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from busway.lane import Counts, Lane, Query, Settled, Trouble
from busway.outcome import Failure
from busway.ports import Ledger
from busway.testing.keeping_suite import KeepingSuite, conserved
from busway.testing.sample import AT, MINUTE, settlement, trouble, verdict

_CHARACTERS = string.ascii_letters + string.digits

__all__ = ["DurableLedgerSuite", "LedgerSuite", "conserved"]


@pytest.mark.asyncio
class LedgerSuite(KeepingSuite):
    """What holds for any ledger, also for one that forgets when it is closed."""

    async def test_a_lane_is_made_once(self, ledger: Ledger) -> None:
        assert await ledger.open_lane("f", 1, 5) == Lane("f", 1, 5, 5)
        assert await ledger.open_lane("f", 1, 9) == Lane("f", 1, 5, 5)
        await ledger.open_lane("e", 7, 0)
        await ledger.open_lane("f", 0, 0)
        found = [(lane.flow, lane.partition) for lane in await ledger.lanes()]
        assert found == [("e", 7), ("f", 0), ("f", 1)]

    async def test_a_settlement_moves_the_cursor_and_counts(self, ledger: Ledger) -> None:
        await ledger.open_lane("f", 0, 0)
        counts = Counts(delivered=3, filtered=4, parked=1, dead=1, discarded=1)
        troubles = (trouble(2), trouble(7, state="dead", due=None))
        settled = settlement(0, 10, *troubles, counts=counts)
        assert list(await ledger.settle([settled])) == [True]
        assert list(await ledger.lanes()) == [Lane("f", 0, 0, 10, counts)]
        assert list(await ledger.troubles(Query())) == list(troubles)
        assert await ledger.count_troubles() == {("f", 0): (1, 1)}

    async def test_a_stale_settlement_changes_nothing(self, ledger: Ledger) -> None:
        await ledger.open_lane("f", 0, 0)
        await ledger.settle([settlement(0, 10)])
        stale = [settlement(0, 10, trouble(3)), settlement(9, 12), settlement(11, 12)]
        unknown = settlement(0, 1, flow="unknown")
        assert list(await ledger.settle([*stale, unknown])) == [False] * 4
        assert [(lane.cursor, lane.counts.total) for lane in await ledger.lanes()] == [(10, 10)]
        assert list(await ledger.troubles(Query())) == []

    async def test_settlements_in_one_call_follow_each_other(self, ledger: Ledger) -> None:
        await ledger.open_lane("f", 0, 0)
        parts = [settlement(0, 4), settlement(4, 9), settlement(4, 5), settlement(9, 9)]
        assert list(await ledger.settle(parts)) == [True, True, False, True]
        assert (await ledger.lanes())[0].cursor == 9

    async def test_settlements_of_many_lanes_at_a_time(self, ledger: Ledger) -> None:
        flows = [f"flow-{n}" for n in range(50)]
        for flow in flows:
            await ledger.open_lane(flow, 0, 0)

        async def work(flow: str) -> None:
            for start in range(0, 50, 10):
                settled = settlement(start, start + 10, flow=flow)
                assert list(await ledger.settle([settled])) == [True]

        await asyncio.gather(*map(work, flows))
        assert {lane.cursor for lane in await ledger.lanes()} == {50}

    async def test_one_of_two_rivals_wins(self, ledger: Ledger) -> None:
        await ledger.open_lane("f", 0, 0)
        results = await asyncio.gather(*(ledger.settle([settlement(0, n)]) for n in range(1, 9)))
        assert sorted(won for (won,) in results) == [False] * 7 + [True]

    async def test_what_does_not_add_up_is_refused(self, ledger: Ledger) -> None:
        await ledger.open_lane("f", 0, 0)
        wrong = [
            settlement(0, 2, counts=Counts(delivered=1)),
            settlement(0, 2, counts=Counts(delivered=3, filtered=-1)),
            settlement(0, 2, counts=Counts(parked=2)),
            settlement(0, 2, trouble(2)),
            settlement(0, 2, trouble(1), trouble(1)),
            settlement(0, 2, trouble(1, flow="g")),
            settlement(0, 2, trouble(1, due=None)),
        ]
        for each in wrong:
            with pytest.raises(ValueError, match="'f'"):
                await ledger.settle([settlement(0, 1), each])
        assert (await ledger.lanes())[0].cursor == 0

    async def test_ranges_merge_while_nothing_changes(self, ledger: Ledger) -> None:
        await ledger.open_lane("f", 0, 0)
        await ledger.open_lane("f", 1, 0)
        for start, version in [(0, "v1"), (10, "v1"), (20, "v2"), (30, "v1")]:
            at = AT + start * MINUTE
            await ledger.settle([settlement(start, start + 10, version=version, at=at)])
        await ledger.settle([settlement(0, 1, partition=1)])
        assert list(await ledger.settled("f", 0)) == [
            Settled("f", 0, 0, 20, "v1", AT, AT + 10 * MINUTE, Counts(delivered=20)),
            Settled("f", 0, 20, 30, "v2", AT + 20 * MINUTE, AT + 20 * MINUTE, Counts(10)),
            Settled("f", 0, 30, 40, "v1", AT + 30 * MINUTE, AT + 30 * MINUTE, Counts(10)),
        ]
        assert [(s.partition, s.start) for s in await ledger.settled("f")][-1] == (1, 0)
        assert list(await ledger.settled("g")) == []

    async def test_a_trouble_is_kept_as_it_was(self, ledger: Ledger) -> None:
        failure = Failure(2, AT, "step", "KeyError", "'ü'", "Traceback\n...", "v1", 1.5)
        kept = trouble(0, "k", event=b'{"\x00":"\xc3"}', attempts=2, failures=(failure, failure))
        await ledger.open_lane("f", 0, 0)
        await ledger.settle([settlement(0, 1, kept)])
        assert list(await ledger.troubles(Query())) == [kept]

    async def test_texts_may_be_long(self, ledger: Ledger) -> None:
        # of random characters: a database may be able to pack others
        long, longer = ("".join(random.Random(1).choices(_CHARACTERS, k=k)) for k in (5000, 5001))
        same = {"event_id": long, "event_key": longer}
        kept = [trouble(0, long, **same), trouble(1, long, due=None, **same), trouble(2, longer)]
        await ledger.open_lane("f", 0, 0)
        await ledger.settle([settlement(0, 3, *kept)])
        assert list(await ledger.troubles(Query(event_id=long))) == kept[:2]
        assert list(await ledger.troubles(Query(event_key=longer))) == kept[:2]
        assert list(await ledger.troubles(Query(keys=(long,)))) == kept[:2]
        assert list(await ledger.troubles(Query(event_id=long[:256]))) == []
        assert await ledger.parked_keys("f", 0) == {long: 2, longer: 1}
        failed = msgspec.structs.replace(kept[0], failures=(Failure(1, AT, "step", "E", long),))
        assert list(await ledger.judge([verdict(kept[0], failed)])) == [True]
        assert list(await ledger.judge([verdict(failed, "delivered")])) == [True]
        assert [one.event_id for one in await ledger.resolved(long)] == [long]
        (released,) = await ledger.troubles(Query(event_id=long))
        assert released.due == AT

    async def test_verdicts_compare_and_set(self, ledger: Ledger) -> None:
        first, second, third = await _parked(ledger, None, None, None)
        again = msgspec.structs.replace(second, attempts=2, due=AT + MINUTE)
        dead = msgspec.structs.replace(third, state="dead", due=None, attempts=2)
        verdicts = [verdict(first, "delivered"), verdict(second, again), verdict(third, dead)]
        assert list(await ledger.judge(verdicts)) == [True] * 3
        assert list(await ledger.judge(verdicts)) == [False] * 3
        assert list(await ledger.troubles(Query())) == [again, dead]
        assert (await ledger.lanes())[0].counts == Counts(delivered=1, parked=1, dead=1)
        assert list(await ledger.judge([verdict(trouble(99), "delivered")])) == [False]

    async def test_every_way_out_is_counted(self, ledger: Ledger) -> None:
        first, second, third = await _parked(ledger, None, None, None)
        await ledger.judge([verdict(first, "delivered"), verdict(second, "filtered")])
        dead = msgspec.structs.replace(third, state="dead", due=None)
        redriven = msgspec.structs.replace(dead, state="parked", due=AT, attempts=0)
        assert list(await ledger.judge([verdict(third, dead), verdict(dead, redriven)])) == [
            True,
            True,
        ]
        assert (await ledger.lanes())[0].counts.parked == 1
        await ledger.judge([verdict(redriven, "discarded")])
        assert (await ledger.lanes())[0].counts == Counts(1, 1, 0, 0, 1)

    async def test_a_verdict_cannot_move_a_trouble(self, ledger: Ledger) -> None:
        (first,) = await _parked(ledger, None)
        for became in (trouble(1), trouble(0, flow="g"), trouble(0, due=None)):
            with pytest.raises(ValueError, match="'f'"):
                await ledger.judge([verdict(first, became)])
        assert list(await ledger.troubles(Query())) == [first]

    async def test_the_next_of_a_key_is_due_when_one_goes(self, ledger: Ledger) -> None:
        first, *_ = await _parked(ledger, "k", "other", "k", "k", None)
        assert await _due(ledger) == {0: AT, 1: AT, 4: AT}
        assert await ledger.parked_keys("f", 0) == {"k": 3, "other": 1}
        await ledger.judge([verdict(first, "delivered", AT + MINUTE)])
        assert await _due(ledger) == {1: AT, 2: AT + MINUTE, 4: AT}
        second = (await ledger.troubles(Query(after=("f", 0, 1))))[0]
        dead = msgspec.structs.replace(second, state="dead", due=None)
        await ledger.judge([verdict(second, dead, AT + 2 * MINUTE)])
        assert await _due(ledger) == {1: AT, 3: AT + 2 * MINUTE, 4: AT}
        assert await ledger.parked_keys("f", 0) == {"k": 1, "other": 1}

    async def test_one_that_waits_may_go_without_its_turn(self, ledger: Ledger) -> None:
        _, second, _ = await _parked(ledger, "k", "k", "k")
        await ledger.judge([verdict(second, "discarded")])
        assert await _due(ledger) == {0: AT}

    async def test_nobody_waits_behind_nobody(self, ledger: Ledger) -> None:
        await ledger.open_lane("f", 0, 0)
        late = settlement(0, 2, trouble(0, "k", due=None), trouble(1, "k", due=None))
        await ledger.settle([late])
        assert await _due(ledger) == {0: AT}

    async def test_a_key_is_of_its_lane(self, ledger: Ledger) -> None:
        (first,) = await _parked(ledger, "k")
        await ledger.open_lane("f", 1, 0)
        waits = (trouble(0, "k", partition=1), trouble(1, "k", partition=1, due=None))
        await ledger.settle([settlement(0, 2, *waits, partition=1)])
        await ledger.judge([verdict(first, "delivered")])
        assert await ledger.parked_keys("f", 0) == {}
        assert [t.due for t in await ledger.troubles(Query(partition=1))] == [AT, None]

    async def test_queries_choose_and_page(self, ledger: Ledger) -> None:
        kept = await _several(ledger)
        assert list(await ledger.troubles(Query())) == kept
        for query in (Query(flow="f"), Query(state="dead"), Query(state="parked", flow="g")):
            chosen = [t for t in kept if _fits(t, query)]
            assert chosen
            assert list(await ledger.troubles(query)) == chosen
            assert await _paged(ledger, query) == chosen
        assert list(await ledger.troubles(Query(flow="f", partition=1))) == kept[4:8]
        assert list(await ledger.troubles(Query(event_id="id-2"))) == kept[2::4]
        assert list(await ledger.troubles(Query(event_id="nobody"))) == []
        assert await _paged(ledger, Query()) == kept

    async def test_parked_ones_of_some_keys(self, ledger: Ledger) -> None:
        await ledger.open_lane("f", 0, 0)
        waiting = [trouble(n, key=f"k{n % 3}", due=AT if n < 3 else None) for n in range(7)]
        dead = trouble(7, key="k1", state="dead", due=None)
        await ledger.settle([settlement(0, 9, *waiting, dead, trouble(8))])
        for keys, limit, offsets in [
            (("k1",), 9, [1, 4]),
            (("k2", "k0"), 9, [0, 2, 3, 5, 6]),
            (("k2", "k0"), 3, [0, 2, 3]),
            (("other",), 9, []),
            ((), 9, []),
        ]:
            query = Query(flow="f", partition=0, keys=keys, limit=limit)
            assert [one.offset for one in await ledger.troubles(query)] == offsets

    async def test_due_ones_come_by_time(self, ledger: Ledger) -> None:
        await ledger.open_lane("f", 0, 0)
        assert set(await ledger.due_flows(AT + 9 * MINUTE)) == set()
        dues = [AT + 3 * MINUTE, AT, AT + MINUTE, AT + 2 * MINUTE]
        troubles = [trouble(n, due=due) for n, due in enumerate(dues)]
        dead = trouble(4, state="dead", due=None)
        await ledger.settle([settlement(0, 5, *troubles, dead)])
        assert set(await ledger.due_flows(AT)) == {"f"}
        assert set(await ledger.due_flows(AT - MINUTE)) == set()
        found = await ledger.troubles(Query(due_by=AT + 2 * MINUTE))
        assert [t.offset for t in found] == [1, 2, 3]
        found = await ledger.troubles(Query(due_by=AT + 9 * MINUTE, limit=2, flow="f"))
        assert [t.offset for t in found] == [1, 2]
        for partitions, offsets in [((0, 1), [1, 2]), ((1,), []), ((), [])]:
            query = Query(due_by=AT + MINUTE, flow="f", partitions=partitions)
            assert [t.offset for t in await ledger.troubles(query)] == offsets
        assert list(await ledger.troubles(Query(due_by=AT - MINUTE))) == []
        assert list(await ledger.troubles(Query(due_by=AT + 9 * MINUTE, state="dead"))) == []


class DurableLedgerSuite(LedgerSuite):
    """What holds beyond that for a ledger which is still there when it is opened again."""

    async def test_it_is_the_same_when_it_is_opened_again(self, tmp_path: Path) -> None:
        ledger = await self.open_ledger(tmp_path)
        parked = await _parked(ledger, "k", "k")
        await ledger.put("name", b"value")
        lanes, settled = await ledger.lanes(), await ledger.settled("f")
        await ledger.close()
        ledger = await self.open_ledger(tmp_path)
        try:
            assert list(await ledger.troubles(Query())) == list(parked)
            assert await ledger.lanes() == lanes
            assert await ledger.settled("f") == settled
            assert await ledger.get("") == {"name": b"value"}
        finally:
            await ledger.close()


async def _parked(ledger: Ledger, *keys: str | None) -> list[Trouble]:
    """Park an event for each key; those behind an earlier one of their key wait."""
    await ledger.open_lane("f", 0, 0)
    parked = [
        trouble(n, key, due=None if key and key in keys[:n] else AT) for n, key in enumerate(keys)
    ]
    await ledger.settle([settlement(0, len(keys), *parked)])
    return parked


async def _due(ledger: Ledger) -> dict[int, datetime]:
    found = await ledger.troubles(Query(state="parked"))
    return {t.offset: t.due for t in found if t.due}


async def _several(ledger: Ledger) -> list[Trouble]:
    kept = []
    for flow in ("f", "g"):
        for partition in (0, 1):
            place: dict[str, Any] = {"flow": flow, "partition": partition}
            await ledger.open_lane(flow, partition, 0)
            parked = [trouble(n, **place) for n in range(2)]
            dead = [trouble(n, state="dead", due=None, **place) for n in range(2, 4)]
            await ledger.settle([settlement(0, 4, *parked, *dead, **place)])
            kept += parked + dead
    return kept


def _fits(one: Trouble, query: Query) -> bool:
    return query.flow in (None, one.flow) and query.state in (None, one.state)


async def _paged(ledger: Ledger, query: Query) -> list[Trouble]:
    found: list[Trouble] = []
    while True:
        last = (found[-1].flow, found[-1].partition, found[-1].offset) if found else None
        page = await ledger.troubles(msgspec.structs.replace(query, after=last, limit=3))
        found += page
        if not page:
            return found
