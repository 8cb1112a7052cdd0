"""Random commands do the same to a log as to the one in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from busway.ports import HasAppendTimes, Log, LogBatch, NeedsMaintenance, NewBatch
from busway.testing import MemoryLog

PARTITIONS = 2
START = datetime(2030, 1, 1, tzinfo=UTC)

partitions = st.integers(0, PARTITIONS - 1)
offsets = st.integers(0, 40)
events = st.lists(st.binary(max_size=40), min_size=1, max_size=5)
drafts = st.lists(st.builds(NewBatch, partition=partitions, events=events), max_size=4)
times = st.integers(0, 50).map(lambda minutes: START + timedelta(minutes=minutes))
steps = st.sampled_from([0, 0, 1, 5]).map(lambda minutes: timedelta(minutes=minutes))


def plain(batches: Sequence[LogBatch]) -> list[tuple[int, int, datetime, list[bytes]]]:
    return [(b.partition, b.offset, b.appended_at, list(b.events)) for b in batches]


class LogMachine(RuleBasedStateMachine):
    """Subclass it, and say how the log is opened: empty at first, as it was after that."""

    def __init__(self, runner: asyncio.Runner) -> None:
        super().__init__()
        self.runner = runner
        self.model = MemoryLog(PARTITIONS)
        self.log = self.runner.run(self.opened())
        self.now = START

    async def opened(self) -> Log:
        raise NotImplementedError

    @rule(partition=partitions, offset=offsets)
    def appended_at(self, partition: int, offset: int) -> None:
        expected = self.runner.run(self.model.appended_at(partition, offset))
        assert isinstance(self.log, HasAppendTimes)
        assert self.runner.run(self.log.appended_at(partition, offset)) == expected

    @rule(drafts=drafts, step=steps)
    def append(self, drafts: list[NewBatch], step: timedelta) -> None:
        self.now += step
        expected = self.runner.run(self.model.append(drafts, self.now))
        assert list(self.runner.run(self.log.append(drafts, self.now))) == list(expected)

    @rule(drafts=st.lists(drafts, min_size=2, max_size=5), step=steps)
    def append_at_once(self, drafts: list[list[NewBatch]], step: timedelta) -> None:
        self.now += step
        at = self.now

        async def appended() -> list[Sequence[int]]:
            return await asyncio.gather(*(self.log.append(each, at) for each in drafts))

        expected = [self.runner.run(self.model.append(each, at)) for each in drafts]
        assert self.runner.run(appended()) == expected

    @rule(partition=partitions, offset=offsets, max_bytes=st.integers(0, 200))
    def read(self, partition: int, offset: int, max_bytes: int) -> None:
        self.read_both(partition, offset, max_bytes)

    def read_both(self, partition: int, offset: int, max_bytes: int) -> None:
        expected = self.runner.run(self.model.read(partition, offset, max_bytes))
        found = self.runner.run(self.log.read(partition, offset, max_bytes))
        assert plain(found) == plain(expected)

    @rule(partition=partitions, beyond=st.integers(-2, 6))
    def continue_at(self, partition: int, beyond: int) -> None:
        offset = max(self.runner.run(self.model.bounds(partition))[1] + beyond, 0)
        expected = self.runner.run(self.model.skip_to(partition, offset))
        assert self.runner.run(self.log.skip_to(partition, offset)) == expected

    @rule(partition=partitions, offset=offsets)
    def trim(self, partition: int, offset: int) -> None:
        expected = self.runner.run(self.model.trim(partition, offset))
        assert self.runner.run(self.log.trim(partition, offset)) == expected

    @rule(partition=partitions, at=times)
    def offset_at(self, partition: int, at: datetime) -> None:
        expected = self.runner.run(self.model.offset_at(partition, at))
        assert self.runner.run(self.log.offset_at(partition, at)) == expected

    @rule(maintained=st.booleans())
    def reopen(self, maintained: bool) -> None:
        if maintained and isinstance(self.log, NeedsMaintenance):
            self.runner.run(self.log.maintain())
        self.runner.run(self.log.close())
        self.log = self.runner.run(self.opened())

    @invariant()
    def bounds_agree(self) -> None:
        for partition in range(PARTITIONS):
            expected = self.runner.run(self.model.bounds(partition))
            assert self.runner.run(self.log.bounds(partition)) == expected
            self.read_both(partition, 0, 1_000_000)

    def teardown(self) -> None:
        self.runner.run(self.log.close())
