"""Random commands do the same to the log in JetStream as to the one in memory."""

from __future__ import annotations

import asyncio
import uuid
from datetime import timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule, run_state_machine_as_test

from busway.engine.jetstream import JetStreamAddress, JetStreamLog
from busway.ports import NewBatch
from effort import examples
from log_machine import PARTITIONS, LogMachine, offsets, partitions, plain, steps
from nats_cluster import NatsCluster

large = st.lists(st.binary(max_size=2_000), min_size=1, max_size=5)


class JetStreamLogMachine(LogMachine):
    """One log that appends and reads, and a second one that only reads, as in another process."""

    address = ""

    def __init__(self) -> None:
        self.place = JetStreamAddress.parse(self.address.replace("NAME", f"log{uuid.uuid4().hex}"))
        super().__init__(asyncio.Runner())
        self.other = self.runner.run(self.opened())

    async def opened(self) -> JetStreamLog:
        return await JetStreamLog.open(self.place, PARTITIONS)

    @rule(partition=partitions, events=large, step=steps)
    def append_large(self, partition: int, events: list[bytes], step: timedelta) -> None:
        self.append([NewBatch(partition, events)], step)

    @rule(partition=partitions, offset=offsets, max_bytes=st.integers(200, 9_000))
    def read_more(self, partition: int, offset: int, max_bytes: int) -> None:
        self.read_both(partition, offset, max_bytes)

    def read_both(self, partition: int, offset: int, max_bytes: int) -> None:
        expected = plain(self.runner.run(self.model.read(partition, offset, max_bytes)))
        for log in (self.log, self.other):
            self.runner.run(log.bounds(partition))
            found = plain(self.runner.run(log.read(partition, offset, max_bytes)))
            # a process may stop where others appended behind what it has in memory
            assert found == expected[: max(len(found), 1)]

    @rule()
    def change_places(self) -> None:
        self.log, self.other = self.other, self.log

    @invariant()
    def both_know_the_bounds(self) -> None:
        for partition in range(PARTITIONS):
            expected = self.runner.run(self.model.bounds(partition))
            assert self.runner.run(self.other.bounds(partition)) == expected

    def teardown(self) -> None:
        super().teardown()
        self.runner.run(self.other.close())
        self.runner.close()


def test_it_behaves_like_the_engine_in_memory(nats: NatsCluster) -> None:
    machine = type("Machine", (JetStreamLogMachine,), {"address": nats.address("NAME")})
    limits = settings(max_examples=examples(8), stateful_step_count=40, deadline=None)
    run_state_machine_as_test(machine, settings=limits)
