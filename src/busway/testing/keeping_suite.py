"""What every ledger must do beside its lanes: values, the trail, the history, whole flows."""
# ruff: noqa: S101

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio
from msgspec import Raw

from busway.lane import MERGED_WITHIN, Audit, Change, Counts, Group, Lease, Query, Resolved, Verdict
from busway.outcome import Failure
from busway.ports import Ledger
from busway.testing.sample import AT, MINUTE, settlement, trouble, verdict

FAILURE = Failure(1, AT, "sink", "http 500", "no")
NOTED = Audit(AT, "ann", "pause", "flow/f", Raw(b"1"), None, "why")


async def conserved(ledger: Ledger) -> None:
    """Assert what must hold of a ledger at every instant."""
    kept = await ledger.count_troubles()
    for lane in await ledger.lanes():
        assert lane.cursor - lane.start == lane.counts.total, lane
        standing = (lane.counts.parked, lane.counts.dead)
        assert kept.get((lane.flow, lane.partition), (0, 0)) == standing, lane


@pytest.mark.asyncio
class KeepingSuite(ABC):
    """The part of the ledger's suite that is not about delivering."""

    @abstractmethod
    async def open_ledger(self, place: Path) -> Ledger:
        """Open the ledger at a place, made when it is not there; closed by the suite."""

    @pytest_asyncio.fixture
    async def ledger(self, tmp_path: Path) -> AsyncIterator[Ledger]:
        ledger = await self.open_ledger(tmp_path)
        yield ledger
        await conserved(ledger)
        await ledger.close()

    async def test_named_values(self, ledger: Ledger) -> None:
        values = {"a": b"1", "a/b": b"2", "a/c": b"", "ab": b"3", "b": b"4", "ü/%_": b"\x00"}
        for name, value in values.items():
            await ledger.put(name, value)
        await ledger.put("b", b"5")
        assert await ledger.get("") == values | {"b": b"5"}
        assert await ledger.get("a/") == {"a/b": b"2", "a/c": b""}
        assert await ledger.get("ü/%") == {"ü/%_": b"\x00"}
        assert await ledger.get("c") == {}

    async def test_changes_are_made_together_where_all_is_as_expected(self, ledger: Ledger) -> None:
        assert await ledger.change([Change("a", b"1", expected=None), Change("b", b"2")])
        stale = [Change("a", b"3"), Change("b", b"4", expected=b"1")]
        assert not await ledger.change(stale, [NOTED])
        assert not await ledger.change([Change("a", b"3", expected=None)])
        assert await ledger.get("") == {"a": b"1", "b": b"2"}
        assert list(await ledger.audits()) == []
        assert await ledger.change([Change("a", None, expected=b"1"), Change("c", None)])
        assert await ledger.get("") == {"b": b"2"}

    async def test_a_settlement_carries_changes(self, ledger: Ledger) -> None:
        await ledger.open_lane("f", 0, 0)
        await ledger.settle([settlement(0, 5)], [Change("skipped", b"5")])
        stale = [settlement(5, 6), settlement(5, 6)]
        assert list(await ledger.settle(stale, [Change("skipped", b"6")])) == [True, False]
        assert await ledger.get("") == {"skipped": b"5"}

    async def test_the_trail_is_read_backwards_by_target(self, ledger: Ledger) -> None:
        targets = ["flow/f", "flow/fg", "flow/f/x", "flow", "dead"]
        for target in targets:
            await ledger.change([], [msgspec.structs.replace(NOTED, target=target)])
        found = await ledger.audits()
        assert [one.target for one in found] == targets[::-1]
        assert found[-1] == msgspec.structs.replace(NOTED, seq=found[-1].seq)
        assert [one.target for one in await ledger.audits("flow/f")] == ["flow/f/x", "flow/f"]
        assert [one.target for one in await ledger.audits("flow", limit=3)] == [
            "flow",
            "flow/f/x",
            "flow/fg",
        ]
        rest = await ledger.audits("flow", before=found[2].seq)
        assert [one.target for one in rest] == ["flow/fg", "flow/f"]

    async def test_a_verdict_is_noted_where_it_was_applied(self, ledger: Ledger) -> None:
        await ledger.open_lane("f", 0, 0)
        await ledger.settle([settlement(0, 1, trouble(0))])
        gone = verdict(trouble(0), "discarded")
        assert list(await ledger.judge([gone, gone], [NOTED])) == [True, False]
        assert list(await ledger.judge([gone], [NOTED])) == [False]
        assert [one.action for one in await ledger.audits()] == ["pause"]

    async def test_verdicts_carry_changes_and_hang_on_them(self, ledger: Ledger) -> None:
        await ledger.open_lane("f", 0, 0)
        await ledger.settle([settlement(0, 1, trouble(0))])
        again = msgspec.structs.replace(trouble(0), attempts=2)
        stepped = Change("at", b"1", expected=None)
        assert list(await ledger.judge([verdict(trouble(0), again)], [NOTED], [stepped])) == [True]
        assert list(await ledger.judge([verdict(again, trouble(0))], [NOTED], [stepped])) == [False]
        assert list(await ledger.judge([], [NOTED], [Change("at", b"2", expected=b"1")])) == []
        assert await ledger.get("") == {"at": b"2"}
        assert list(await ledger.troubles(Query())) == [again]
        assert len(await ledger.audits()) == 1

    async def test_a_verdict_on_another_event_is_refused(self, ledger: Ledger) -> None:
        await ledger.open_lane("f", 0, 0)
        await ledger.settle([settlement(0, 1, trouble(0))])
        edited = msgspec.structs.replace(trouble(0), event=b'{"edited":1}')
        edit = msgspec.structs.replace(verdict(trouble(0), edited), event=trouble(0).event)
        assert list(await ledger.judge([edit])) == [True]
        assert list(await ledger.judge([edit])) == [False]
        assert list(await ledger.troubles(Query())) == [edited]

    async def test_what_failed_is_remembered_when_it_is_resolved(self, ledger: Ledger) -> None:
        await ledger.open_lane("f", 0, 0)
        failed = trouble(0, failures=(FAILURE,), event_key="k")
        other, waited = trouble(1, event_id="id-0"), trouble(2, "k", event_id="id-0")
        await ledger.settle([settlement(0, 3, failed, other, waited)])
        place = ("f", 0)
        await ledger.judge(
            [
                Verdict(*place, 0, 1, "parked", "delivered", AT + MINUTE, "v2"),
                Verdict(*place, 1, 1, "parked", "discarded", AT, "", "ann", "old"),
                Verdict(*place, 2, 1, "parked", "delivered", AT),
            ]
        )
        assert list(await ledger.resolved("id-0")) == [
            Resolved("f", 0, 0, "id-0", "delivered", AT + MINUTE, 1, (FAILURE,), "k", "v2"),
            Resolved("f", 0, 1, "id-0", "discarded", AT, 1, (), None, "", "ann", "old"),
        ]
        await ledger.forget(AT + MINUTE)
        assert [one.became for one in await ledger.resolved("id-0")] == ["delivered"]

    async def test_a_range_spans_a_limited_time(self, ledger: Ledger) -> None:
        await ledger.open_lane("f", 0, 0)
        for number, at in enumerate([AT, AT + MERGED_WITHIN, AT + MERGED_WITHIN + MINUTE]):
            await ledger.settle([settlement(number, number + 1, at=at)])
        found = await ledger.settled("f")
        assert [(one.start, one.end) for one in found] == [(0, 2), (2, 3)]
        await ledger.forget(AT + MERGED_WITHIN + MINUTE)
        assert [(one.start, one.end) for one in await ledger.settled("f")] == [(0, 2), (2, 3)]
        await ledger.forget(AT + MERGED_WITHIN + 2 * MINUTE)
        (merged,) = await ledger.settled("f")
        assert (merged.start, merged.end, merged.counts) == (0, 3, Counts(3))
        assert (merged.first_at, merged.last_at) == (AT, AT + MERGED_WITHIN + MINUTE)

    async def test_troubles_are_grouped_by_cause(self, ledger: Ledger) -> None:
        await ledger.open_lane("f", 0, 0)
        causes = ["x", "y", "x", "", "x"]
        troubles = [
            trouble(
                n,
                state="dead",
                due=None,
                fingerprint=cause,
                error=f"E{cause}",
                since=AT + n * MINUTE,
            )
            for n, cause in enumerate(causes)
        ]
        await ledger.settle([settlement(0, 6, *troubles, trouble(5, fingerprint="x", error="Ex"))])
        found = await ledger.groups(Query(state="dead"))
        expected = Group("f", "dead", "x", "Ex", 3, AT, AT + 4 * MINUTE, 0, 0)
        assert found[0] == expected
        assert [(one.fingerprint, one.count) for one in found[1:]] == [("", 1), ("y", 1)]
        assert list(await ledger.groups(Query(state="dead", limit=1))) == [expected]
        later = await ledger.groups(Query(since_from=AT + 2 * MINUTE, since_to=AT + 4 * MINUTE))
        assert [(one.fingerprint, one.count, one.offset) for one in later] == [
            ("", 1, 3),
            ("x", 1, 2),
        ]
        of_group = await ledger.troubles(Query(fingerprint="x", flow="f", state="dead"))
        assert [one.offset for one in of_group] == [0, 2, 4]
        assert [one.offset for one in await ledger.troubles(Query(error="Ey"))] == [1]

    async def test_a_lease_fences_what_was_done_under_the_one_before(self, ledger: Ledger) -> None:
        await ledger.open_lane("f", 0, 0)
        mine = Lease("f", 0, 0, "w1")
        assert list(await ledger.lease([mine, mine, Lease("g", 0, 0, "w1")])) == [1, None, None]
        assert list(await ledger.settle([settlement(0, 1)])) == [False]
        assert list(await ledger.settle([settlement(0, 1, epoch=1)])) == [True]
        assert list(await ledger.lease([Lease("f", 0, 1, "w2")])) == [2]
        late, next_one = (settlement(1, 2, epoch=epoch) for epoch in (1, 2))
        assert list(await ledger.settle([late, next_one])) == [False, True]
        (lane,) = await ledger.lanes()
        assert (lane.worker, lane.epoch, lane.cursor) == ("w2", 2, 2)
        assert await ledger.open_lane("f", 0, 9) == lane
        assert list(await ledger.lease([Lease("f", 0, 2, None)])) == [3]
        assert (await ledger.lanes())[0].worker is None

    async def test_leases_carry_changes_and_hang_on_them(self, ledger: Ledger) -> None:
        for partition in range(2):
            await ledger.open_lane("f", partition, 0)
        both = [Lease("f", partition, 0, "w1") for partition in (1, 0)]
        await ledger.put("beat", b"7")
        gone, seen = Change("beat", b"6", expected=b"6"), Change("beat", b"7", expected=b"7")
        never = Change("no beat", None, expected=None)
        assert list(await ledger.lease(both, [never, gone, Change("a", b"1")])) == [None, None]
        assert [(one.worker, one.epoch) for one in await ledger.lanes()] == [(None, 0)] * 2
        assert await ledger.get("") == {"beat": b"7"}
        assert list(await ledger.lease(both[:1], [never, seen, Change("a", b"1")])) == [1]
        assert list(await ledger.lease(both, [Change("a", b"2")])) == [None, 1]
        assert await ledger.get("") == {"a": b"2", "beat": b"7"}

    async def test_one_of_many_gets_a_lease(self, ledger: Ledger) -> None:
        await ledger.open_lane("f", 0, 0)
        wanted = [Lease("f", 0, 0, f"w{n}") for n in range(8)]
        found = await asyncio.gather(*(ledger.lease([one]) for one in wanted))
        assert sorted(epoch or 0 for (epoch,) in found) == [0] * 7 + [1]

    async def test_a_flow_gets_another_name(self, ledger: Ledger) -> None:
        for flow in ("f", "g"):
            await ledger.open_lane(flow, 0, 0)
        failed = [trouble(n, failures=(FAILURE,)) for n in range(2)]
        await ledger.settle([settlement(0, 2, *failed)])
        await ledger.judge([verdict(failed[0], "delivered")])
        assert not await ledger.rename_flow("f", "g", [NOTED])
        assert await ledger.rename_flow("f", "h", [NOTED])
        assert [(lane.flow, lane.cursor) for lane in await ledger.lanes()] == [("g", 0), ("h", 2)]
        assert [one.flow for one in await ledger.troubles(Query())] == ["h"]
        assert [one.flow for one in await ledger.settled("h")] == ["h"]
        assert [one.flow for one in await ledger.resolved("id-0")] == ["h"]
        assert len(await ledger.audits()) == 1

    async def test_a_flow_is_removed_with_all_that_it_has(self, ledger: Ledger) -> None:
        for flow in ("f", "g"):
            await ledger.open_lane(flow, 0, 0)
            failed = [trouble(n, flow=flow, failures=(FAILURE,)) for n in range(2)]
            await ledger.settle([settlement(0, 2, *failed, flow=flow)])
            await ledger.judge([verdict(failed[0], "delivered")])
        assert await ledger.remove_flow("f", [NOTED])
        assert not await ledger.remove_flow("f", [NOTED])
        assert [lane.flow for lane in await ledger.lanes()] == ["g"]
        assert [one.flow for one in await ledger.troubles(Query())] == ["g"]
        assert [one.flow for one in await ledger.resolved("id-0")] == ["g"]
        assert (list(await ledger.settled("f")), len(await ledger.settled("g"))) == ([], 1)
        assert len(await ledger.audits()) == 1
