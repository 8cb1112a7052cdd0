"""Random commands do the same to log and ledger in PostgreSQL as to those in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import invariant, rule, run_state_machine_as_test

from busway.engine.postgres import PostgresLedger, PostgresLog
from busway.engine.postgres.database import Database
from busway.engine.postgres.schema import migrate
from busway.ports import Log, LogBatch, NewBatch
from effort import examples
from ledger_machine import LedgerMachine
from log_machine import PARTITIONS, LogMachine, drafts, plain, steps
from postgres_server import postgres_server

ALL = 1_000_000
EMPTY = """
DELETE FROM failed_event; DELETE FROM settled_range; DELETE FROM resolved_event; DELETE FROM lane;
DELETE FROM named_value; DELETE FROM audit; SELECT setval(pg_get_serial_sequence('audit', 'seq'),
1, false); DELETE FROM batch; UPDATE partition SET base = 0, "end" = 0, size = 0;
"""
FEW = settings(
    max_examples=examples(8),
    stateful_step_count=25,
    suppress_health_check=list(HealthCheck),
)


class Place:
    """A server's tables, and the loop on which they are used."""

    def __init__(self, runner: asyncio.Runner, database: Database) -> None:
        self.runner = runner
        self.database = database

    def empty(self) -> None:
        self.runner.run(self._empty())

    async def _empty(self) -> None:
        async with self.database.connection() as connection:
            await connection.execute(EMPTY)


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    # what is asked here is what it does, and not what is left of it after a crash
    with postgres_server(fsync="off") as server, asyncio.Runner() as runner:
        runner.run(migrate(server.dsn, "busway", PARTITIONS))
        database = runner.run(Database.open(server.dsn, "busway"))
        yield Place(runner, database)
        runner.run(database.close())


class PostgresLedgerMachine(LedgerMachine):
    place: ClassVar[Place]

    def __init__(self) -> None:
        self.database = self.place.database
        self.place.empty()
        super().__init__(self.place.runner)

    async def opened(self) -> PostgresLedger:
        return PostgresLedger(self.database)


class PostgresLogMachine(LogMachine):
    """With another process that appends and reads as well."""

    place: ClassVar[Place]

    def __init__(self) -> None:
        self.database = self.place.database
        self.place.empty()
        super().__init__(self.place.runner)
        self.other = self.runner.run(self.opened())

    async def opened(self) -> PostgresLog:
        return await PostgresLog.open(self.database, "log")

    @rule(one=drafts, two=drafts, step=steps)
    def both_append(self, one: list[NewBatch], two: list[NewBatch], step: timedelta) -> None:
        self.now += step

        async def appended() -> tuple[Sequence[int], Sequence[int]]:
            return await asyncio.gather(
                self.log.append(one, self.now), self.other.append(two, self.now)
            )

        found = self.runner.run(appended())
        given = [(one, list(found[0])), (two, list(found[1]))]
        if not in_order(*given):
            given.reverse()
        for each, firsts in given:
            assert list(self.runner.run(self.model.append(each, self.now))) == firsts

    def read_both(self, partition: int, offset: int, max_bytes: int) -> None:
        """What was appended here lately is read from memory: up to where the other appended."""
        expected = plain(self.runner.run(self.model.read(partition, offset, max_bytes)))
        found = plain(self.runner.run(self.log.read(partition, offset, max_bytes)))
        assert found == expected[: len(found)]
        assert bool(found) == bool(expected)

    @invariant()
    def both_see_all(self) -> None:
        for partition in range(PARTITIONS):
            base, _ = self.runner.run(self.model.bounds(partition))
            expected = plain(self.runner.run(followed(self.model, partition, base)))
            for log in (self.log, self.other):
                assert plain(self.runner.run(followed(log, partition, base))) == expected

    def teardown(self) -> None:
        self.runner.run(self.other.close())
        super().teardown()


async def followed(log: Log, partition: int, offset: int) -> list[LogBatch]:
    """Read to the end, as a lane does."""
    found: list[LogBatch] = []
    while batches := await log.read(partition, offset, ALL):
        found += batches
        offset = batches[-1].end
    return found


def in_order(one: tuple[list[NewBatch], list[int]], two: tuple[list[NewBatch], list[int]]) -> bool:
    """Return whether the first of two appends came first, wherever they met."""
    firsts = [
        {draft.partition: first for draft, first in reversed(list(zip(*each, strict=True)))}
        for each in (one, two)
    ]
    order = {firsts[0][p] < firsts[1][p] for p in firsts[0].keys() & firsts[1].keys()}
    assert len(order) < 2, "each came before the other"
    return order != {False}


def test_the_ledger_does_as_the_one_in_memory(place: Place) -> None:
    PostgresLedgerMachine.place = place
    run_state_machine_as_test(PostgresLedgerMachine, settings=FEW)


def test_the_log_does_as_the_one_in_memory(place: Place) -> None:
    PostgresLogMachine.place = place
    run_state_machine_as_test(PostgresLogMachine, settings=FEW)
