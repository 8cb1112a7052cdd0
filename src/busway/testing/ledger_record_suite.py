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

from busway.audit_record import AuditRecord
from busway.failed_event import (
    FailedEventGroup,
    FailedEventQuery,
    Failure,
    Resolution,
    ResolvedEvent,
)
from busway.lane import Counts, FailedEventCounts, LeaseRequest
from busway.named_value import ValueChange
from busway.ports import Ledger
from busway.settlement import MAX_RANGE_SPAN
from busway.testing.ledger_sample import (
    AT,
    MINUTE,
    failed_event,
    resolution,
    settlement,
)

FAILURE = Failure(1, AT, "sink", "http 500", "no")
AUDIT_RECORD = AuditRecord(AT, "ann", "pause", "flow/f", Raw(b"1"), None, "why")


async def assert_conserved(ledger: Ledger) -> None:
    """Assert what must hold of a ledger at every instant."""
    kept = await ledger.count_failed_events()
    for lane in await ledger.lanes():
        assert lane.cursor - lane.start == lane.counts.total, lane
        counted = FailedEventCounts(lane.counts.parked, lane.counts.dead)
        assert kept.get(lane.id, FailedEventCounts()) == counted, lane


@pytest.mark.asyncio
class LedgerRecordSuite(ABC):
    """The part of the ledger's suite that is not about delivering."""

    @abstractmethod
    async def open_ledger(self, place: Path) -> Ledger:
        """Open the ledger at a place, made when it is not there; closed by the suite."""

    @pytest_asyncio.fixture
    async def ledger(self, tmp_path: Path) -> AsyncIterator[Ledger]:
        ledger = await self.open_ledger(tmp_path)
        yield ledger
        await assert_conserved(ledger)
        await ledger.close()

    async def test_named_values(self, ledger: Ledger) -> None:
        values = {"a": b"1", "a/b": b"2", "a/c": b"", "ab": b"3", "b": b"4", "ü/%_": b"\x00"}
        for name, value in values.items():
            await ledger.put_value(name, value)
        await ledger.put_value("b", b"5")
        assert await ledger.get_values("") == values | {"b": b"5"}
        assert await ledger.get_values("a/") == {"a/b": b"2", "a/c": b""}
        assert await ledger.get_values("ü/%") == {"ü/%_": b"\x00"}
        assert await ledger.get_values("c") == {}

    async def test_changes_are_made_together_where_all_is_as_expected(self, ledger: Ledger) -> None:
        assert await ledger.change_values(
            [ValueChange("a", b"1", expected=None), ValueChange("b", b"2")]
        )
        stale = [ValueChange("a", b"3"), ValueChange("b", b"4", expected=b"1")]
        assert not await ledger.change_values(stale, [AUDIT_RECORD])
        assert not await ledger.change_values([ValueChange("a", b"3", expected=None)])
        assert await ledger.get_values("") == {"a": b"1", "b": b"2"}
        assert list(await ledger.audit_records()) == []
        assert await ledger.change_values(
            [ValueChange("a", None, expected=b"1"), ValueChange("c", None)]
        )
        assert await ledger.get_values("") == {"b": b"2"}

    async def test_a_settlement_carries_changes(self, ledger: Ledger) -> None:
        await ledger.open_lane("f", 0, 0)
        await ledger.settle([settlement(0, 5)], [ValueChange("skipped", b"5")])
        stale = [settlement(5, 6), settlement(5, 6)]
        assert list(await ledger.settle(stale, [ValueChange("skipped", b"6")])) == [True, False]
        assert await ledger.get_values("") == {"skipped": b"5"}

    async def test_the_trail_is_read_backwards_by_target(self, ledger: Ledger) -> None:
        targets = ["flow/f", "flow/fg", "flow/f/x", "flow", "dead"]
        for target in targets:
            await ledger.change_values([], [msgspec.structs.replace(AUDIT_RECORD, target=target)])
        found = await ledger.audit_records()
        assert [one.target for one in found] == targets[::-1]
        assert found[-1] == msgspec.structs.replace(AUDIT_RECORD, seq=found[-1].seq)
        assert [record.target for record in await ledger.audit_records("flow/f")] == [
            "flow/f/x",
            "flow/f",
        ]
        assert [record.target for record in await ledger.audit_records("flow", limit=3)] == [
            "flow",
            "flow/f/x",
            "flow/fg",
        ]
        rest = await ledger.audit_records("flow", before=found[2].seq)
        assert [one.target for one in rest] == ["flow/fg", "flow/f"]

    async def test_an_applied_resolution_is_audited(self, ledger: Ledger) -> None:
        await ledger.open_lane("f", 0, 0)
        await ledger.settle([settlement(0, 1, failed_event(0))])
        gone = resolution(failed_event(0), "discarded")
        assert list(await ledger.resolve([gone, gone], [AUDIT_RECORD])) == [True, False]
        assert list(await ledger.resolve([gone], [AUDIT_RECORD])) == [False]
        assert [record.action for record in await ledger.audit_records()] == ["pause"]

    async def test_resolutions_and_changes_are_atomic(self, ledger: Ledger) -> None:
        await ledger.open_lane("f", 0, 0)
        await ledger.settle([settlement(0, 1, failed_event(0))])
        again = msgspec.structs.replace(failed_event(0), attempts=2)
        stepped = ValueChange("at", b"1", expected=None)
        assert list(
            await ledger.resolve([resolution(failed_event(0), again)], [AUDIT_RECORD], [stepped])
        ) == [True]
        assert list(
            await ledger.resolve([resolution(again, failed_event(0))], [AUDIT_RECORD], [stepped])
        ) == [False]
        assert (
            list(await ledger.resolve([], [AUDIT_RECORD], [ValueChange("at", b"2", expected=b"1")]))
            == []
        )
        assert await ledger.get_values("") == {"at": b"2"}
        assert list(await ledger.failed_events(FailedEventQuery())) == [again]
        assert len(await ledger.audit_records()) == 1

    async def test_a_resolution_of_another_event_is_rejected(self, ledger: Ledger) -> None:
        await ledger.open_lane("f", 0, 0)
        await ledger.settle([settlement(0, 1, failed_event(0))])
        edited = msgspec.structs.replace(failed_event(0), event=b'{"edited":1}')
        edit = msgspec.structs.replace(
            resolution(failed_event(0), edited), event=failed_event(0).event
        )
        assert list(await ledger.resolve([edit])) == [True]
        assert list(await ledger.resolve([edit])) == [False]
        assert list(await ledger.failed_events(FailedEventQuery())) == [edited]

    async def test_what_failed_is_remembered_when_it_is_resolved(self, ledger: Ledger) -> None:
        await ledger.open_lane("f", 0, 0)
        failed = failed_event(0, failures=(FAILURE,), event_key="k")
        other, waited = failed_event(1, event_id="id-0"), failed_event(2, "k", event_id="id-0")
        await ledger.settle([settlement(0, 3, failed, other, waited)])
        place = ("f", 0)
        await ledger.resolve(
            [
                Resolution(*place, 0, 1, "parked", "delivered", AT + MINUTE, "v2"),
                Resolution(*place, 1, 1, "parked", "discarded", AT, "", "ann", "old"),
                Resolution(*place, 2, 1, "parked", "delivered", AT),
            ]
        )
        assert list(await ledger.resolved_events("id-0")) == [
            ResolvedEvent("f", 0, 0, "id-0", "delivered", AT + MINUTE, 1, (FAILURE,), "k", "v2"),
            ResolvedEvent("f", 0, 1, "id-0", "discarded", AT, 1, (), None, "", "ann", "old"),
        ]
        await ledger.prune_history(AT + MINUTE)
        assert [event.outcome for event in await ledger.resolved_events("id-0")] == ["delivered"]

    async def test_a_range_spans_a_limited_time(self, ledger: Ledger) -> None:
        await ledger.open_lane("f", 0, 0)
        for number, at in enumerate([AT, AT + MAX_RANGE_SPAN, AT + MAX_RANGE_SPAN + MINUTE]):
            await ledger.settle([settlement(number, number + 1, at=at)])
        found = await ledger.settled_ranges("f")
        assert [(one.start, one.end) for one in found] == [(0, 2), (2, 3)]
        await ledger.prune_history(AT + MAX_RANGE_SPAN + MINUTE)
        assert [(one.start, one.end) for one in await ledger.settled_ranges("f")] == [
            (0, 2),
            (2, 3),
        ]
        await ledger.prune_history(AT + MAX_RANGE_SPAN + 2 * MINUTE)
        (merged,) = await ledger.settled_ranges("f")
        assert (merged.start, merged.end, merged.counts) == (0, 3, Counts(3))
        assert (merged.first_at, merged.last_at) == (AT, AT + MAX_RANGE_SPAN + MINUTE)

    async def test_failed_events_are_grouped_by_cause(self, ledger: Ledger) -> None:
        await ledger.open_lane("f", 0, 0)
        causes = ["x", "y", "x", "", "x"]
        failed_events = [
            failed_event(
                n,
                state="dead",
                due=None,
                fingerprint=cause,
                error=f"E{cause}",
                since=AT + n * MINUTE,
            )
            for n, cause in enumerate(causes)
        ]
        await ledger.settle(
            [settlement(0, 6, *failed_events, failed_event(5, fingerprint="x", error="Ex"))]
        )
        found = await ledger.failed_event_groups(FailedEventQuery(state="dead"))
        expected = FailedEventGroup("f", "dead", "x", "Ex", 3, AT, AT + 4 * MINUTE, 0, 0)
        assert found[0] == expected
        assert [(one.fingerprint, one.count) for one in found[1:]] == [("", 1), ("y", 1)]
        assert list(await ledger.failed_event_groups(FailedEventQuery(state="dead", limit=1))) == [
            expected
        ]
        later = await ledger.failed_event_groups(
            FailedEventQuery(since_from=AT + 2 * MINUTE, since_to=AT + 4 * MINUTE)
        )
        assert [(one.fingerprint, one.count, one.offset) for one in later] == [
            ("", 1, 3),
            ("x", 1, 2),
        ]
        of_group = await ledger.failed_events(
            FailedEventQuery(fingerprint="x", flow="f", state="dead")
        )
        assert [one.offset for one in of_group] == [0, 2, 4]
        assert [
            event.offset for event in await ledger.failed_events(FailedEventQuery(error="Ey"))
        ] == [1]

    async def test_a_lease_fences_what_was_done_under_the_one_before(self, ledger: Ledger) -> None:
        await ledger.open_lane("f", 0, 0)
        mine = LeaseRequest("f", 0, 0, "w1")
        assert list(await ledger.lease([mine, mine, LeaseRequest("g", 0, 0, "w1")])) == [
            1,
            None,
            None,
        ]
        assert list(await ledger.settle([settlement(0, 1)])) == [False]
        assert list(await ledger.settle([settlement(0, 1, fencing_token=1)])) == [True]
        assert list(await ledger.lease([LeaseRequest("f", 0, 1, "w2")])) == [2]
        late, next_one = (settlement(1, 2, fencing_token=epoch) for epoch in (1, 2))
        assert list(await ledger.settle([late, next_one])) == [False, True]
        (lane,) = await ledger.lanes()
        assert (lane.worker, lane.fencing_token, lane.cursor) == ("w2", 2, 2)
        assert await ledger.open_lane("f", 0, 9) == lane
        assert list(await ledger.lease([LeaseRequest("f", 0, 2, None)])) == [3]
        assert (await ledger.lanes())[0].worker is None

    async def test_leases_carry_changes_and_hang_on_them(self, ledger: Ledger) -> None:
        for partition in range(2):
            await ledger.open_lane("f", partition, 0)
        both = [LeaseRequest("f", partition, 0, "w1") for partition in (1, 0)]
        await ledger.put_value("beat", b"7")
        gone, seen = (
            ValueChange("beat", b"6", expected=b"6"),
            ValueChange("beat", b"7", expected=b"7"),
        )
        never = ValueChange("no beat", None, expected=None)
        assert list(await ledger.lease(both, [never, gone, ValueChange("a", b"1")])) == [None, None]
        assert [(lane.worker, lane.fencing_token) for lane in await ledger.lanes()] == [
            (None, 0)
        ] * 2
        assert await ledger.get_values("") == {"beat": b"7"}
        assert list(await ledger.lease(both[:1], [never, seen, ValueChange("a", b"1")])) == [1]
        assert list(await ledger.lease(both, [ValueChange("a", b"2")])) == [None, 1]
        assert await ledger.get_values("") == {"a": b"2", "beat": b"7"}

    async def test_one_of_many_gets_a_lease(self, ledger: Ledger) -> None:
        await ledger.open_lane("f", 0, 0)
        wanted = [LeaseRequest("f", 0, 0, f"w{n}") for n in range(8)]
        found = await asyncio.gather(*(ledger.lease([one]) for one in wanted))
        assert sorted(epoch or 0 for (epoch,) in found) == [0] * 7 + [1]

    async def test_a_flow_gets_another_name(self, ledger: Ledger) -> None:
        for flow in ("f", "g"):
            await ledger.open_lane(flow, 0, 0)
        failed = [failed_event(n, failures=(FAILURE,)) for n in range(2)]
        await ledger.settle([settlement(0, 2, *failed)])
        await ledger.resolve([resolution(failed[0], "delivered")])
        assert not await ledger.rename_flow("f", "g", [AUDIT_RECORD])
        assert await ledger.rename_flow("f", "h", [AUDIT_RECORD])
        assert [(lane.flow, lane.cursor) for lane in await ledger.lanes()] == [("g", 0), ("h", 2)]
        assert [event.flow for event in await ledger.failed_events(FailedEventQuery())] == ["h"]
        assert [one.flow for one in await ledger.settled_ranges("h")] == ["h"]
        assert [event.flow for event in await ledger.resolved_events("id-0")] == ["h"]
        assert len(await ledger.audit_records()) == 1

    async def test_a_flow_is_removed_with_all_that_it_has(self, ledger: Ledger) -> None:
        for flow in ("f", "g"):
            await ledger.open_lane(flow, 0, 0)
            failed = [failed_event(n, flow=flow, failures=(FAILURE,)) for n in range(2)]
            await ledger.settle([settlement(0, 2, *failed, flow=flow)])
            await ledger.resolve([resolution(failed[0], "delivered")])
        assert await ledger.remove_flow("f", [AUDIT_RECORD])
        assert not await ledger.remove_flow("f", [AUDIT_RECORD])
        assert [lane.flow for lane in await ledger.lanes()] == ["g"]
        assert [event.flow for event in await ledger.failed_events(FailedEventQuery())] == ["g"]
        assert [event.flow for event in await ledger.resolved_events("id-0")] == ["g"]
        assert (list(await ledger.settled_ranges("f")), len(await ledger.settled_ranges("g"))) == (
            [],
            1,
        )
        assert len(await ledger.audit_records()) == 1
