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

from busway.failed_event import FailedEvent, FailedEventQuery, Failure
from busway.lane import Counts, EventRef, FailedEventCounts, Lane, LaneId
from busway.ports import Ledger
from busway.settlement import SettledRange
from busway.testing.ledger_record_suite import LedgerRecordSuite, assert_conserved
from busway.testing.ledger_sample import (
    AT,
    MINUTE,
    failed_event,
    resolution,
    settlement,
)

_CHARACTERS = string.ascii_letters + string.digits

__all__ = ["DurableLedgerSuite", "LedgerSuite", "assert_conserved"]


@pytest.mark.asyncio
class LedgerSuite(LedgerRecordSuite):
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
        failed_events = (failed_event(2), failed_event(7, state="dead", due=None))
        settled = settlement(0, 10, *failed_events, counts=counts)
        assert list(await ledger.settle([settled])) == [True]
        assert list(await ledger.lanes()) == [Lane("f", 0, 0, 10, counts)]
        assert list(await ledger.failed_events(FailedEventQuery())) == list(failed_events)
        assert await ledger.count_failed_events() == {LaneId("f", 0): FailedEventCounts(1, 1)}

    async def test_a_stale_settlement_changes_nothing(self, ledger: Ledger) -> None:
        await ledger.open_lane("f", 0, 0)
        await ledger.settle([settlement(0, 10)])
        stale = [settlement(0, 10, failed_event(3)), settlement(9, 12), settlement(11, 12)]
        unknown = settlement(0, 1, flow="unknown")
        assert list(await ledger.settle([*stale, unknown])) == [False] * 4
        assert [(lane.cursor, lane.counts.total) for lane in await ledger.lanes()] == [(10, 10)]
        assert list(await ledger.failed_events(FailedEventQuery())) == []

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
            settlement(0, 2, failed_event(2)),
            settlement(0, 2, failed_event(1), failed_event(1)),
            settlement(0, 2, failed_event(1, flow="g")),
            settlement(0, 2, failed_event(1, due=None)),
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
        assert list(await ledger.settled_ranges("f", 0)) == [
            SettledRange("f", 0, 0, 20, "v1", AT, AT + 10 * MINUTE, Counts(delivered=20)),
            SettledRange("f", 0, 20, 30, "v2", AT + 20 * MINUTE, AT + 20 * MINUTE, Counts(10)),
            SettledRange("f", 0, 30, 40, "v1", AT + 30 * MINUTE, AT + 30 * MINUTE, Counts(10)),
        ]
        assert [(s.partition, s.start) for s in await ledger.settled_ranges("f")][-1] == (1, 0)
        assert list(await ledger.settled_ranges("g")) == []

    async def test_a_failed_event_is_stored_unchanged(self, ledger: Ledger) -> None:
        failure = Failure(2, AT, "step", "KeyError", "'ü'", "Traceback\n...", "v1", 1.5)
        kept = failed_event(
            0, "k", event=b'{"\x00":"\xc3"}', attempts=2, failures=(failure, failure)
        )
        await ledger.open_lane("f", 0, 0)
        await ledger.settle([settlement(0, 1, kept)])
        assert list(await ledger.failed_events(FailedEventQuery())) == [kept]

    async def test_texts_may_be_long(self, ledger: Ledger) -> None:
        # of random characters: a database may be able to pack others
        long, longer = ("".join(random.Random(1).choices(_CHARACTERS, k=k)) for k in (5000, 5001))
        same = {"event_id": long, "event_key": longer}
        kept = [
            failed_event(0, long, **same),
            failed_event(1, long, due=None, **same),
            failed_event(2, longer),
        ]
        await ledger.open_lane("f", 0, 0)
        await ledger.settle([settlement(0, 3, *kept)])
        assert list(await ledger.failed_events(FailedEventQuery(event_id=long))) == kept[:2]
        assert list(await ledger.failed_events(FailedEventQuery(event_key=longer))) == kept[:2]
        assert list(await ledger.failed_events(FailedEventQuery(keys=(long,)))) == kept[:2]
        assert list(await ledger.failed_events(FailedEventQuery(event_id=long[:256]))) == []
        assert await ledger.parked_keys("f", 0) == {long: 2, longer: 1}
        failed = msgspec.structs.replace(kept[0], failures=(Failure(1, AT, "step", "E", long),))
        assert list(await ledger.resolve([resolution(kept[0], failed)])) == [True]
        assert list(await ledger.resolve([resolution(failed, "delivered")])) == [True]
        assert [event.event_id for event in await ledger.resolved_events(long)] == [long]
        (released,) = await ledger.failed_events(FailedEventQuery(event_id=long))
        assert released.due == AT

    async def test_resolutions_compare_and_set(self, ledger: Ledger) -> None:
        first, second, third = await _park(ledger, None, None, None)
        again = msgspec.structs.replace(second, attempts=2, due=AT + MINUTE)
        dead = msgspec.structs.replace(third, state="dead", due=None, attempts=2)
        resolutions = [
            resolution(first, "delivered"),
            resolution(second, again),
            resolution(third, dead),
        ]
        assert list(await ledger.resolve(resolutions)) == [True] * 3
        assert list(await ledger.resolve(resolutions)) == [False] * 3
        assert list(await ledger.failed_events(FailedEventQuery())) == [again, dead]
        assert (await ledger.lanes())[0].counts == Counts(delivered=1, parked=1, dead=1)
        assert list(await ledger.resolve([resolution(failed_event(99), "delivered")])) == [False]

    async def test_every_way_out_is_counted(self, ledger: Ledger) -> None:
        first, second, third = await _park(ledger, None, None, None)
        await ledger.resolve([resolution(first, "delivered"), resolution(second, "filtered")])
        dead = msgspec.structs.replace(third, state="dead", due=None)
        redriven = msgspec.structs.replace(dead, state="parked", due=AT, attempts=0)
        assert list(
            await ledger.resolve([resolution(third, dead), resolution(dead, redriven)])
        ) == [
            True,
            True,
        ]
        assert (await ledger.lanes())[0].counts.parked == 1
        await ledger.resolve([resolution(redriven, "discarded")])
        assert (await ledger.lanes())[0].counts == Counts(1, 1, 0, 0, 1)

    async def test_a_resolution_cannot_move_a_failed_event(self, ledger: Ledger) -> None:
        (first,) = await _park(ledger, None)
        for became in (failed_event(1), failed_event(0, flow="g"), failed_event(0, due=None)):
            with pytest.raises(ValueError, match="'f'"):
                await ledger.resolve([resolution(first, became)])
        assert list(await ledger.failed_events(FailedEventQuery())) == [first]

    async def test_the_next_of_a_key_is_due_when_one_goes(self, ledger: Ledger) -> None:
        first, *_ = await _park(ledger, "k", "other", "k", "k", None)
        assert await _due_times(ledger) == {0: AT, 1: AT, 4: AT}
        assert await ledger.parked_keys("f", 0) == {"k": 3, "other": 1}
        await ledger.resolve([resolution(first, "delivered", AT + MINUTE)])
        assert await _due_times(ledger) == {1: AT, 2: AT + MINUTE, 4: AT}
        second = (await ledger.failed_events(FailedEventQuery(after=EventRef("f", 0, 1))))[0]
        dead = msgspec.structs.replace(second, state="dead", due=None)
        await ledger.resolve([resolution(second, dead, AT + 2 * MINUTE)])
        assert await _due_times(ledger) == {1: AT, 3: AT + 2 * MINUTE, 4: AT}
        assert await ledger.parked_keys("f", 0) == {"k": 1, "other": 1}

    async def test_one_that_waits_may_go_without_its_turn(self, ledger: Ledger) -> None:
        _, second, _ = await _park(ledger, "k", "k", "k")
        await ledger.resolve([resolution(second, "discarded")])
        assert await _due_times(ledger) == {0: AT}

    async def test_nobody_waits_behind_nobody(self, ledger: Ledger) -> None:
        await ledger.open_lane("f", 0, 0)
        late = settlement(0, 2, failed_event(0, "k", due=None), failed_event(1, "k", due=None))
        await ledger.settle([late])
        assert await _due_times(ledger) == {0: AT}

    async def test_a_key_is_of_its_lane(self, ledger: Ledger) -> None:
        (first,) = await _park(ledger, "k")
        await ledger.open_lane("f", 1, 0)
        waits = (failed_event(0, "k", partition=1), failed_event(1, "k", partition=1, due=None))
        await ledger.settle([settlement(0, 2, *waits, partition=1)])
        await ledger.resolve([resolution(first, "delivered")])
        assert await ledger.parked_keys("f", 0) == {}
        assert [t.due for t in await ledger.failed_events(FailedEventQuery(partition=1))] == [
            AT,
            None,
        ]

    async def test_queries_choose_and_page(self, ledger: Ledger) -> None:
        kept = await _add_failed_events(ledger)
        assert list(await ledger.failed_events(FailedEventQuery())) == kept
        for query in (
            FailedEventQuery(flow="f"),
            FailedEventQuery(state="dead"),
            FailedEventQuery(state="parked", flow="g"),
        ):
            chosen = [t for t in kept if _matches(t, query)]
            assert chosen
            assert list(await ledger.failed_events(query)) == chosen
            assert await _read_pages(ledger, query) == chosen
        assert (
            list(await ledger.failed_events(FailedEventQuery(flow="f", partition=1))) == kept[4:8]
        )
        assert list(await ledger.failed_events(FailedEventQuery(event_id="id-2"))) == kept[2::4]
        assert list(await ledger.failed_events(FailedEventQuery(event_id="nobody"))) == []
        assert await _read_pages(ledger, FailedEventQuery()) == kept

    async def test_parked_ones_of_some_keys(self, ledger: Ledger) -> None:
        await ledger.open_lane("f", 0, 0)
        waiting = [failed_event(n, key=f"k{n % 3}", due=AT if n < 3 else None) for n in range(7)]
        dead = failed_event(7, key="k1", state="dead", due=None)
        await ledger.settle([settlement(0, 9, *waiting, dead, failed_event(8))])
        for keys, limit, offsets in [
            (("k1",), 9, [1, 4]),
            (("k2", "k0"), 9, [0, 2, 3, 5, 6]),
            (("k2", "k0"), 3, [0, 2, 3]),
            (("other",), 9, []),
            ((), 9, []),
        ]:
            query = FailedEventQuery(flow="f", partition=0, keys=keys, limit=limit)
            assert [event.offset for event in await ledger.failed_events(query)] == offsets

    async def test_due_ones_come_by_time(self, ledger: Ledger) -> None:
        await ledger.open_lane("f", 0, 0)
        assert set(await ledger.due_flows(AT + 9 * MINUTE)) == set()
        dues = [AT + 3 * MINUTE, AT, AT + MINUTE, AT + 2 * MINUTE]
        failed_events = [failed_event(n, due=due) for n, due in enumerate(dues)]
        dead = failed_event(4, state="dead", due=None)
        await ledger.settle([settlement(0, 5, *failed_events, dead)])
        assert set(await ledger.due_flows(AT)) == {"f"}
        assert set(await ledger.due_flows(AT - MINUTE)) == set()
        found = await ledger.failed_events(FailedEventQuery(due_by=AT + 2 * MINUTE))
        assert [t.offset for t in found] == [1, 2, 3]
        found = await ledger.failed_events(
            FailedEventQuery(due_by=AT + 9 * MINUTE, limit=2, flow="f")
        )
        assert [t.offset for t in found] == [1, 2]
        for partitions, offsets in [((0, 1), [1, 2]), ((1,), []), ((), [])]:
            query = FailedEventQuery(due_by=AT + MINUTE, flow="f", partitions=partitions)
            assert [t.offset for t in await ledger.failed_events(query)] == offsets
        assert list(await ledger.failed_events(FailedEventQuery(due_by=AT - MINUTE))) == []
        assert (
            list(await ledger.failed_events(FailedEventQuery(due_by=AT + 9 * MINUTE, state="dead")))
            == []
        )


class DurableLedgerSuite(LedgerSuite):
    """What holds beyond that for a ledger which is still there when it is opened again."""

    async def test_it_is_the_same_when_it_is_opened_again(self, tmp_path: Path) -> None:
        ledger = await self.open_ledger(tmp_path)
        parked = await _park(ledger, "k", "k")
        await ledger.put_value("name", b"value")
        lanes, settled = await ledger.lanes(), await ledger.settled_ranges("f")
        await ledger.close()
        ledger = await self.open_ledger(tmp_path)
        try:
            assert list(await ledger.failed_events(FailedEventQuery())) == list(parked)
            assert await ledger.lanes() == lanes
            assert await ledger.settled_ranges("f") == settled
            assert await ledger.get_values("") == {"name": b"value"}
        finally:
            await ledger.close()


async def _park(ledger: Ledger, *keys: str | None) -> list[FailedEvent]:
    """Park an event for each key; those behind an earlier one of their key wait."""
    await ledger.open_lane("f", 0, 0)
    parked = [
        failed_event(n, key, due=None if key and key in keys[:n] else AT)
        for n, key in enumerate(keys)
    ]
    await ledger.settle([settlement(0, len(keys), *parked)])
    return parked


async def _due_times(ledger: Ledger) -> dict[int, datetime]:
    found = await ledger.failed_events(FailedEventQuery(state="parked"))
    return {t.offset: t.due for t in found if t.due}


async def _add_failed_events(ledger: Ledger) -> list[FailedEvent]:
    kept = []
    for flow in ("f", "g"):
        for partition in (0, 1):
            place: dict[str, Any] = {"flow": flow, "partition": partition}
            await ledger.open_lane(flow, partition, 0)
            parked = [failed_event(n, **place) for n in range(2)]
            dead = [failed_event(n, state="dead", due=None, **place) for n in range(2, 4)]
            await ledger.settle([settlement(0, 4, *parked, *dead, **place)])
            kept += parked + dead
    return kept


def _matches(one: FailedEvent, query: FailedEventQuery) -> bool:
    return query.flow in (None, one.flow) and query.state in (None, one.state)


async def _read_pages(ledger: Ledger, query: FailedEventQuery) -> list[FailedEvent]:
    found: list[FailedEvent] = []
    while True:
        last = found[-1].ref if found else None
        page = await ledger.failed_events(msgspec.structs.replace(query, after=last, limit=3))
        found += page
        if not page:
            return found
