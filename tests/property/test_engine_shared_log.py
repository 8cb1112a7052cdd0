"""Random commands to one of several open logs on one SQLite file do the same as to one in memory.

No log gets a hint of what the others do: what is read is true all the same, and so is where an
append goes, also of one that has looked away while others appended and trimmed.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from busway.clock import SystemClock
from busway.engine.sqlite import SharedSqliteLog
from busway.engine.sqlite.directory import LOG_FILE, create_files, identify
from busway.engine.sqlite.quota import Quota
from busway.ports import NewBatch
from busway.testing import MemoryLog
from effort import examples
from log_machine import PARTITIONS, START, drafts, offsets, partitions, plain

OPEN = 3


class Deaf:
    """Hints that never come."""

    def notify(self) -> None: ...

    def subscribe(self, look: Callable[[], None]) -> None: ...


class SharedLogMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.place = tempfile.TemporaryDirectory()
        self.path = Path(self.place.name)
        create_files(self.path, PARTITIONS)
        self.model, self.untrimmed = MemoryLog(PARTITIONS), MemoryLog(PARTITIONS)
        self.logs = [self.runner.run(self.opened()) for _ in range(OPEN)]
        self.log = self.logs[0]

    async def opened(self) -> SharedSqliteLog:
        room = Quota(self.path, SystemClock())
        log = SharedSqliteLog(self.path / LOG_FILE, identify(self.path), room, Deaf())
        log._poll_task.cancel()  # it is to learn by itself, when it is asked
        with suppress(asyncio.CancelledError):
            await log._poll_task
        return log

    def expected(self, drafts: list[NewBatch]) -> Sequence[int]:
        self.runner.run(self.untrimmed.append(drafts, START))
        return self.runner.run(self.model.append(drafts, START))

    @rule(number=st.integers(0, OPEN - 2))
    def turn_to(self, number: int) -> None:
        self.log = self.logs[number]

    @rule(drafts=drafts)
    def append(self, drafts: list[NewBatch]) -> None:
        expected = self.expected(drafts)
        assert list(self.runner.run(self.log.append(drafts, START))) == list(expected)

    @rule(drafts=st.lists(drafts, min_size=2, max_size=4))
    def append_by_two_at_once(self, drafts: list[list[NewBatch]]) -> None:
        """Whichever is first: together they fill the places that there are, without a gap."""
        ends = [self.runner.run(self.model.bounds(p))[1] for p in range(PARTITIONS)]

        async def appended() -> None:
            await asyncio.gather(
                *(self.logs[n % 2].append(each, START) for n, each in enumerate(drafts))
            )

        self.runner.run(appended())
        for partition, end in enumerate(ends):
            for one in self.runner.run(self.logs[-1].read(partition, end, 1 << 20)):
                again = NewBatch(partition, list(one.events))
                assert self.expected([again]) == [one.offset]
        stored = sum(len(one.events) for each in drafts for one in each)
        found = sum(self.runner.run(self.model.bounds(p))[1] for p in range(PARTITIONS))
        assert found - sum(ends) == stored

    @rule(partition=partitions, offset=offsets, max_bytes=st.integers(0, 200))
    def read(self, partition: int, offset: int, max_bytes: int) -> None:
        """One that has not heard of the others may end with what it knows; the next goes on.

        Nor need it know what they have trimmed.
        """
        kept, ever, found = (
            plain(self.runner.run(log.read(partition, offset, max_bytes)))
            for log in (self.model, self.untrimmed, self.log)
        )
        assert found in (kept[: len(found)], ever[: len(found)])
        assert found or not kept

    @rule(partition=partitions, offset=offsets)
    def trim(self, partition: int, offset: int) -> None:
        expected = self.runner.run(self.model.trim(partition, offset))
        assert self.runner.run(self.log.trim(partition, offset)) == expected

    @rule(partition=partitions, beyond=st.integers(-2, 6))
    def continue_at(self, partition: int, beyond: int) -> None:
        offset = max(self.runner.run(self.model.bounds(partition))[1] + beyond, 0)
        expected = self.runner.run(self.model.skip_to(partition, offset))
        self.runner.run(self.untrimmed.skip_to(partition, offset))
        assert self.runner.run(self.log.skip_to(partition, offset)) == expected

    @rule()
    def reopen(self) -> None:
        number = self.logs.index(self.log)
        self.runner.run(self.log.maintain())
        self.runner.run(self.log.close())
        self.log = self.logs[number] = self.runner.run(self.opened())

    @invariant()
    def an_onlooker_sees_what_is_there(self) -> None:
        """The last one never appends, so that the others stay as ignorant as they are."""
        onlooker = self.logs[-1]
        for partition in range(PARTITIONS):
            expected = self.runner.run(self.model.bounds(partition))
            assert self.runner.run(onlooker.bounds(partition)) == expected
            kept = self.runner.run(self.model.read(partition, 0, 1 << 20))
            assert plain(self.runner.run(onlooker.read(partition, 0, 1 << 20))) == plain(kept)

    def teardown(self) -> None:
        for log in self.logs:
            self.runner.run(log.close())
        self.runner.close()
        self.place.cleanup()


TestSharedLogMachine = SharedLogMachine.TestCase
TestSharedLogMachine.settings = settings(max_examples=examples(12), stateful_step_count=30)
