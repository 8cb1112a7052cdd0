"""Random commands do the same to the log in JetStream as to the one in memory."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from busway.engine.jetstream import JetStreamLog, Place
from busway.ports import Batch, Draft
from busway.testing import MemoryLog
from nats_cluster import NatsCluster, nats_cluster

PARTITIONS = 2
START = datetime(2030, 1, 1, tzinfo=UTC)

partitions = st.integers(0, PARTITIONS - 1)
offsets = st.integers(0, 40)
events = st.lists(st.binary(max_size=2_000), min_size=1, max_size=5)
drafts = st.lists(st.builds(Draft, partition=partitions, events=events), max_size=4)
times = st.integers(0, 50).map(lambda minutes: START + timedelta(minutes=minutes))
steps = st.sampled_from([0, 0, 1, 5]).map(lambda minutes: timedelta(minutes=minutes))


@pytest.fixture(scope="module")
def server() -> Iterator[NatsCluster]:
    with nats_cluster() as found:
        yield found


def plain(batches: Sequence[Batch]) -> list[tuple[int, int, datetime, list[bytes]]]:
    return [(b.partition, b.offset, b.appended_at, list(b.events)) for b in batches]


class LogMachine(RuleBasedStateMachine):
    """One log that appends and reads, and a second one that only reads, as in another process."""

    address = ""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.place = Place.of(self.address.replace("NAME", f"log{uuid.uuid4().hex}"))
        self.model = MemoryLog(PARTITIONS)
        self.log, self.other = self.opened(), self.opened()
        self.now = START

    def opened(self) -> JetStreamLog:
        return self.runner.run(JetStreamLog.open(self.place, PARTITIONS))

    @rule(drafts=drafts, step=steps)
    def append(self, drafts: list[Draft], step: timedelta) -> None:
        self.now += step
        expected = self.runner.run(self.model.append(drafts, self.now))
        assert list(self.runner.run(self.log.append(drafts, self.now))) == list(expected)

    @rule()
    def change_places(self) -> None:
        self.log, self.other = self.other, self.log

    @rule(partition=partitions, offset=offsets, max_bytes=st.integers(0, 9_000))
    def read(self, partition: int, offset: int, max_bytes: int) -> None:
        expected = plain(self.runner.run(self.model.read(partition, offset, max_bytes)))
        for log in (self.log, self.other):
            self.runner.run(log.bounds(partition))
            found = plain(self.runner.run(log.read(partition, offset, max_bytes)))
            # a process may stop where others appended behind what it has in memory
            assert found == expected[: max(len(found), 1)]

    @rule(partition=partitions, offset=offsets)
    def trim(self, partition: int, offset: int) -> None:
        expected = self.runner.run(self.model.trim(partition, offset))
        assert self.runner.run(self.log.trim(partition, offset)) == expected

    @rule(partition=partitions, offset=offsets)
    def appended_at(self, partition: int, offset: int) -> None:
        expected = self.runner.run(self.model.appended_at(partition, offset))
        assert self.runner.run(self.log.appended_at(partition, offset)) == expected

    @rule(partition=partitions, at=times)
    def offset_at(self, partition: int, at: datetime) -> None:
        expected = self.runner.run(self.model.offset_at(partition, at))
        assert self.runner.run(self.log.offset_at(partition, at)) == expected

    @rule()
    def reopen(self) -> None:
        self.runner.run(self.log.close())
        self.log = self.opened()

    @invariant()
    def bounds_agree(self) -> None:
        for partition in range(PARTITIONS):
            expected = self.runner.run(self.model.bounds(partition))
            for log in (self.log, self.other):
                assert self.runner.run(log.bounds(partition)) == expected

    def teardown(self) -> None:
        self.runner.run(self.log.close())
        self.runner.run(self.other.close())
        self.runner.close()


def test_it_does_what_the_one_in_memory_does(server: NatsCluster) -> None:
    machine = type("Machine", (LogMachine,), {"address": server.address("NAME")})
    limits = settings(max_examples=15, stateful_step_count=40, deadline=None)
    run_state_machine_as_test(machine, settings=limits)
