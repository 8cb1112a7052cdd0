"""Random commands do the same to a ledger as to the one in memory."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Literal

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from msgspec import UNSET, Raw

from busway.audit_record import AuditRecord
from busway.failed_event import FailedEvent, FailedEventQuery, FailedEventState, Failure, Resolution
from busway.lane import Counts, EventRef, LeaseRequest
from busway.named_value import ValueChange
from busway.ports import Ledger, NeedsMaintenance
from busway.settlement import Settlement
from busway.testing import MemoryLedger
from busway.testing.ledger_record_suite import assert_conserved

START = datetime(2030, 1, 1, tzinfo=UTC)
FLOWS = ("f", "g")
KEYS = (None, "k", "l")
CAUSES = ("", "KeyError", "http 500")
NAMES = ("a", "a/b", "ab")
WAYS_OUT: dict[str, Literal["delivered", "filtered", "discarded"]] = {
    "delivered": "delivered",
    "filtered": "filtered",
    "discarded": "discarded",
}
ENDS = ("delivered", "filtered", "parked", "waits", "dead", "discarded")

flows = st.sampled_from(FLOWS)
lane_partitions = st.integers(0, 1)
times = st.integers(0, 20).map(lambda minutes: START + timedelta(minutes=minutes))
ends = st.lists(st.tuples(st.sampled_from(ENDS), st.sampled_from(KEYS)), max_size=5)
queries = st.builds(
    FailedEventQuery,
    state=st.sampled_from([None, "parked", "dead"]),
    flow=st.one_of(st.none(), flows),
    partition=st.one_of(st.none(), lane_partitions),
    due_by=st.one_of(st.none(), times),
    event_id=st.one_of(st.none(), st.sampled_from(["id-0", "id-1", "id-7"])),
    after=st.one_of(st.none(), st.builds(EventRef, flows, lane_partitions, st.integers(0, 10))),
    limit=st.integers(1, 20),
    event_key=st.sampled_from([None, None, None, "k", "l"]),
    error=st.sampled_from([None, None, None, *CAUSES]),
    fingerprint=st.sampled_from([None, None, *CAUSES]),
    since_from=st.one_of(st.none(), times),
    since_to=st.one_of(st.none(), times),
)
images = st.sampled_from([None, Raw(b"1"), Raw(b'{"a":"\xc3\xbc"}')])
trails = st.lists(
    st.builds(
        AuditRecord,
        times,
        st.sampled_from(["ann", "bob"]),
        st.just("changed"),
        st.sampled_from(["flow/f", "flow/f/x", "flow/fg", "dead"]),
        images,
        images,
    ),
    max_size=3,
)
changes = st.lists(
    st.builds(
        ValueChange,
        st.sampled_from(NAMES),
        st.sampled_from([None, b"", b"1", b"2"]),
        st.sampled_from([UNSET, UNSET, None, b"1", b"2"]),
    ),
    max_size=3,
    unique_by=lambda change: change.name,
)


def exception(place: tuple[str, int, int], end: str, key: str | None, at: datetime) -> FailedEvent:
    """Return a trouble at a place: dead, parked and due, or waiting where it has a key."""
    waits = end == "waits" and key is not None
    state: FailedEventState = "dead" if end == "dead" else "parked"
    cause = CAUSES[(place[2] + at.minute) % len(CAUSES)]
    failures = (Failure(1, at, "sink", cause, f"no {end}"),) if cause else ()
    due = None if waits or state == "dead" else at
    trouble = FailedEvent(*place, b"{}", f"id-{place[2]}", state, at, 1, due, key, failures)
    return msgspec.structs.replace(
        trouble,
        event_key=key,
        error=cause,
        fingerprint=cause,
        attempt_started_at=at if waits else None,
    )


class LedgerMachine(RuleBasedStateMachine):
    """Subclass it, and say how the ledger is opened: empty at first, as it was after that."""

    def __init__(self, runner: asyncio.Runner) -> None:
        super().__init__()
        self.runner = runner
        self.model = MemoryLedger()
        self.ledger = self.runner.run(self.opened())
        for flow in FLOWS:
            self.open_lane_of(flow, 0, 2)
            for each in self.both:  # so that there is an older epoch
                self.runner.run(each.lease([LeaseRequest(flow, 0, 0, "w1")]))
            self.fail_some(flow)

    def fail_some(self, flow: str) -> None:
        """Begin with troubles: the commands that change them would mostly find none."""
        ends = (("dead", None), ("parked", "k"), ("waits", "k"), ("dead", "l"), ("parked", None))
        troubles = tuple(
            exception((flow, 0, offset), end, key, START)
            for offset, (end, key) in enumerate(ends, 2)
        )
        counts = Counts(parked=3, dead=2)
        settled = Settlement(flow, 0, 2, 2 + len(ends), START, "v1", counts, troubles, 1)
        for each in self.both:
            assert self.runner.run(each.settle([settled])) == [True]

    async def opened(self) -> Ledger:
        raise NotImplementedError

    @property
    def both(self) -> tuple[Ledger, Ledger]:
        return self.model, self.ledger

    @rule(flow=flows, partition=lane_partitions, start=st.integers(0, 3))
    def open_lane(self, flow: str, partition: int, start: int) -> None:
        self.open_lane_of(flow, partition, start)

    def open_lane_of(self, flow: str, partition: int, start: int) -> None:
        expected, found = (
            self.runner.run(each.open_lane(flow, partition, start)) for each in self.both
        )
        assert found == expected

    @rule(
        flow=flows,
        partition=lane_partitions,
        late=st.sampled_from([0, 0, 0, 0, 1, -1]),
        ends=ends,
        version=st.sampled_from(["v1", "v2"]),
        at=times,
        made=changes,
        stale=st.sampled_from([0, 0, 1]),
        times=st.sampled_from([1, 1, 1, 2]),
    )
    def settle(
        self,
        flow: str,
        partition: int,
        late: int,
        ends: list[tuple[str, str | None]],
        version: str,
        at: datetime,
        made: list[ValueChange],
        stale: int,
        times: int,
    ) -> None:
        lanes = self.runner.run(self.model.lanes())
        cursors = {(lane.flow, lane.partition): lane.cursor for lane in lanes}
        start = max(cursors.get((flow, partition), 0) - late, 0)
        troubles = tuple(
            exception((flow, partition, offset), end, key, at)
            for offset, (end, key) in enumerate(ends, start)
            if end in {"parked", "waits", "dead"}
        )
        names = ["parked" if end == "waits" else end for end, _ in ends]
        counts = Counts(*(names.count(name) for name in Counts.__struct_fields__))
        epochs = {(lane.flow, lane.partition): lane.fencing_token for lane in lanes}
        epoch = max(epochs.get((flow, partition), 0) - stale, 0)
        settled = Settlement(
            flow, partition, start, start + len(ends), at, version, counts, troubles, epoch
        )
        expected, found = (
            self.runner.run(each.settle([settled] * times, made)) for each in self.both
        )
        assert list(found) == list(expected)

    @rule(
        pick=st.integers(0, 50),
        end=st.sampled_from(ENDS),
        attempts=st.integers(0, 3),
        stale=st.sampled_from([0, 0, 0, 1]),
        at=times,
        who=st.sampled_from(["", "ann"]),
        trail=trails,
        event=st.sampled_from([None, None, b"{}", b"[]"]),
        made=changes,
    )
    def judge(
        self,
        pick: int,
        end: str,
        attempts: int,
        stale: int,
        at: datetime,
        who: str,
        trail: list[AuditRecord],
        event: bytes | None,
        made: list[ValueChange],
    ) -> None:
        known = self.runner.run(self.model.failed_events(FailedEventQuery(limit=1000)))
        if not known:
            return
        old = known[pick % len(known)]
        place = (old.flow, old.partition, old.offset)
        new = msgspec.structs.replace(exception(place, end, old.key, at), attempts=attempts)
        verdict = Resolution(
            *place,
            old.attempts + stale,
            old.state,
            WAYS_OUT.get(end, new),
            at,
            "v3",
            who,
            "because",
            event,
        )
        expected, found = (
            self.runner.run(each.resolve([verdict] * 2, trail, made)) for each in self.both
        )
        assert list(found) == list(expected)

    @rule(pick=st.integers(0, 50), attempts=st.integers(0, 3), waits=st.booleans(), at=times)
    def move(self, pick: int, attempts: int, waits: bool, at: datetime) -> None:
        known = self.runner.run(self.model.failed_events(FailedEventQuery(limit=1000)))
        if not known:
            return
        old = known[pick % len(known)]
        due = None if waits and old.key is not None else at
        new = msgspec.structs.replace(
            old, state="parked", attempts=attempts, due=due, attempt_started_at=at
        )
        place = (old.flow, old.partition, old.offset)
        verdict = Resolution(*place, old.attempts, old.state, new, at)
        expected, found = (self.runner.run(each.resolve([verdict])) for each in self.both)
        assert list(found) == list(expected) == [True]

    @rule(pick=st.integers(0, 50), at=times)
    def claim(self, pick: int, at: datetime) -> None:
        known = self.runner.run(self.model.failed_events(FailedEventQuery(limit=1000)))
        if not known:
            return
        old = known[pick % len(known)]
        new = msgspec.structs.replace(old, attempt_started_at=at)
        verdict = Resolution(
            old.flow, old.partition, old.offset, old.attempts, old.state, new, at, event=old.event
        )
        expected, found = (self.runner.run(each.resolve([verdict])) for each in self.both)
        assert list(found) == list(expected) == [True]

    @rule(questions=st.lists(queries, min_size=5, max_size=20))
    def troubles(self, questions: list[FailedEventQuery]) -> None:
        for query in questions:
            expected, found = (self.runner.run(each.failed_events(query)) for each in self.both)
            assert list(found) == list(expected)
            wanted, grouped = (
                self.runner.run(each.failed_event_groups(query)) for each in self.both
            )
            assert list(grouped) == list(wanted)

    @rule(made=changes, trail=trails)
    def change(self, made: list[ValueChange], trail: list[AuditRecord]) -> None:
        expected, found = (self.runner.run(each.change_values(made, trail)) for each in self.both)
        assert found == expected

    @rule(old=flows, new=st.sampled_from((*FLOWS, "h")), trail=trails)
    def rename(self, old: str, new: str, trail: list[AuditRecord]) -> None:
        expected, found = (self.runner.run(each.rename_flow(old, new, trail)) for each in self.both)
        assert found == expected

    @rule(flow=flows, trail=trails)
    def remove(self, flow: str, trail: list[AuditRecord]) -> None:
        expected, found = (self.runner.run(each.remove_flow(flow, trail)) for each in self.both)
        assert found == expected

    @rule(
        flow=flows,
        partition=lane_partitions,
        seen=st.integers(0, 4),
        worker=st.sampled_from([None, "w1", "w2"]),
        made=changes,
    )
    def lease(
        self, flow: str, partition: int, seen: int, worker: str | None, made: list[ValueChange]
    ) -> None:
        wanted = LeaseRequest(flow, partition, seen, worker)
        expected, found = (self.runner.run(each.lease([wanted] * 2, made)) for each in self.both)
        assert list(found) == list(expected)

    @rule(before=times)
    def forget(self, before: datetime) -> None:
        for each in self.both:
            self.runner.run(each.prune_history(before))

    @rule(
        about=st.sampled_from(["", "flow", "flow/f", "dead", "x"]),
        before=st.one_of(st.none(), st.integers(0, 8)),
        limit=st.integers(1, 5),
    )
    def audits(self, about: str, before: int | None, limit: int) -> None:
        expected, found = (
            self.runner.run(each.audit_records(about, before, limit)) for each in self.both
        )
        assert list(found) == list(expected)

    @rule(
        name=st.text("ab/ü", max_size=3),
        value=st.binary(max_size=3),
        prefix=st.text("ab/ü", max_size=2),
    )
    def put_and_get(self, name: str, value: bytes, prefix: str) -> None:
        for each in self.both:
            self.runner.run(each.put_value(name, value))
        expected, found = (self.runner.run(each.get_values(prefix)) for each in self.both)
        assert found == expected

    @rule(maintained=st.booleans())
    def reopen(self, maintained: bool) -> None:
        if maintained and isinstance(self.ledger, NeedsMaintenance):
            self.runner.run(self.ledger.maintain())
        self.runner.run(self.ledger.close())
        self.ledger = self.runner.run(self.opened())

    @invariant()
    def they_agree(self) -> None:
        async def compare() -> None:
            model, ledger = self.both
            assert list(await ledger.lanes()) == list(await model.lanes())
            everything = FailedEventQuery(limit=1000)
            assert list(await ledger.failed_events(everything)) == list(
                await model.failed_events(everything)
            )
            for by in (START, START + timedelta(minutes=7), START + timedelta(minutes=20)):
                assert set(await ledger.due_flows(by)) == set(await model.due_flows(by))
            assert await ledger.count_failed_events() == await model.count_failed_events()
            assert await ledger.get_values("") == await model.get_values("")
            for offset in range(4):
                known = await model.resolved_events(f"id-{offset}")
                assert list(await ledger.resolved_events(f"id-{offset}")) == list(known)
            for flow in (*FLOWS, "h"):
                assert list(await ledger.settled_ranges(flow)) == list(
                    await model.settled_ranges(flow)
                )
                for partition in (0, 1):
                    expected = await model.parked_keys(flow, partition)
                    assert await ledger.parked_keys(flow, partition) == expected
            await self._group_alike()
            await assert_conserved(ledger)

        self.runner.run(compare())

    async def _group_alike(self) -> None:
        """Groups may be counted ahead, but not those of a query that picks what they are of."""
        for query in (
            FailedEventQuery(limit=1000),
            FailedEventQuery("dead", limit=2),
            FailedEventQuery(flow="f", fingerprint=""),
        ):
            expected = list(await self.model.failed_event_groups(query))
            assert list(await self.ledger.failed_event_groups(query)) == expected
            every = msgspec.structs.replace(query, since_from=START)
            assert list(await self.ledger.failed_event_groups(every)) == expected

    def teardown(self) -> None:
        self.runner.run(self.ledger.close())
