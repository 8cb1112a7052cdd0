"""Repeats are recognised whichever intake they come to, and after a failure that stored them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

import pytest

from busway.bus.group_commit import FOLLOW_DELAY_S, Appender
from busway.clock import SystemClock
from busway.errors import StoreError
from busway.event import Event
from busway.ports import AppendEnvelope, LogBatch, NewBatch
from busway.testing import ManualClock, MemoryLog
from cluster_process import Cluster
from command import Server, get

PROMISED_S = 1.0
COUNTED_S = 0.05
"""The most that counts of the time from a question to its answer: a server may stand still."""


def orders(first: int, end: int) -> list[dict[str, object]]:
    return [{"id": str(n), "subject": f"k{n}", "data": {"n": n}} for n in range(first, end)]


def test_a_repeat_that_is_sent_to_another_intake_is_recognised(cluster: Cluster) -> None:
    with cluster.serving("shop.py") as first, cluster.serving("shop.py") as second:
        for at in range(0, 200, 100):
            for one, other, shift in [(first, second, 0), (second, first, 200)]:
                sent = orders(at + shift, at + shift + 100)
                assert one.post(*sent).json() == {"accepted": 100, "duplicates": 0}
                let_run(other, PROMISED_S)  # it is a promise about time
                assert other.post(*sent).json() == {"accepted": 0, "duplicates": 100}
        for server in (first, second):
            assert server.post(*orders(0, 400)).json() == {"accepted": 0, "duplicates": 400}


def let_run(server: Server, seconds: float) -> None:
    """Return when a server, and its database, have run for so long, by the answers they gave."""
    while seconds > 0:
        began = time.monotonic()
        get(f"{server.url}/api/v1/status").raise_for_status()
        seconds -= min(time.monotonic() - began, COUNTED_S)


class LostAnswer(MemoryLog):
    """Stores an append and then fails, as when the connection breaks on the way back."""

    failing = False

    async def append(self, new_batches: Sequence[NewBatch], at: datetime) -> Sequence[int]:
        offsets = await super().append(new_batches, at)
        if self.failing:
            raise StoreError("the connection broke")
        return offsets


async def test_a_repeat_of_what_was_stored_without_an_answer_is_recognised() -> None:
    log = LostAnswer(2)
    appender = Appender(log, SystemClock(), 60.0)
    await appender.load_recent()
    running = asyncio.create_task(appender.run())
    events = [Event(type="t", source="/s", id=f"e{n}", subject=f"k{n}") for n in range(20)]
    raws, envelopes = [e.to_json() for e in events], [e.envelope for e in events]
    log.failing = True
    with pytest.raises(StoreError, match="broke"):
        await appender.append(raws, envelopes)
    log.failing = False
    answer = await appender.append(raws, envelopes)
    assert (answer.accepted, answer.duplicates) == (0, 20)
    appender.close()
    await running


class Deaf(MemoryLog):
    """Cannot say that there is more, as when the connection is away."""

    async def wait(self, partition: int, offset: int) -> None:
        raise StoreError("the connection broke")


async def test_a_repeat_is_recognised_while_following_fails() -> None:
    """After an outage a loop rests for some seconds, in which requests are taken again."""
    log = Deaf(2)
    first, second = (Appender(log, SystemClock(), 60.0) for _ in range(2))
    for one in (first, second):
        await one.load_recent()
    running = [asyncio.create_task(one.run()) for one in (first, second)]
    for partition in range(2):
        with pytest.raises(StoreError, match="broke"):
            await second.follow(partition)
    for turn in range(3):
        events = [Event(type="t", source="/s", id=f"{turn}/{n}", subject=f"k{n}") for n in range(9)]
        raws, envelopes = [e.to_json() for e in events], [e.envelope for e in events]
        assert (await first.append(raws, envelopes)).accepted == 9
        answer = await second.append(raws, envelopes)
        assert (answer.accepted, answer.duplicates) == (0, 9)
    for one in (first, second):
        one.close()
    await asyncio.gather(*running)


class Counted(MemoryLog):
    """Counts what is read of it; an append is there before who appends hears so."""

    reads = 0

    async def read(self, partition: int, offset: int, max_bytes: int) -> Sequence[LogBatch]:
        found = await super().read(partition, offset, max_bytes)
        self.reads += sum(len(one.events) for one in found)
        return found

    async def append(self, new_batches: Sequence[NewBatch], at: datetime) -> Sequence[int]:
        offsets = await super().append(new_batches, at)
        await asyncio.sleep(0.01)
        return offsets


def made(first: int, end: int) -> list[Event]:
    return [Event(type="t", source="/s", id=f"e{n}", subject=f"k{n}") for n in range(first, end)]


@asynccontextmanager
async def appending(*appenders: Appender) -> AsyncIterator[None]:
    """Have these commit, and follow what others append, for a while."""

    async def follow(one: Appender, partition: int) -> None:
        while True:
            await one.follow(partition)

    running = [asyncio.create_task(one.run()) for one in appenders]
    following = [asyncio.create_task(follow(one, p)) for one in appenders for p in range(2)]
    yield
    for task in following:
        task.cancel()
    for one in appenders:
        one.close()
    await asyncio.gather(*running)


async def test_who_appends_nothing_reads_nothing_until_it_does() -> None:
    log, clock = Counted(2), ManualClock()
    intake, worker = (Appender(log, clock, 60.0) for _ in range(2))
    await intake.load_recent()
    async with appending(intake, worker):
        for turn in range(5):
            await intake.publish(made(9 * turn, 9 * turn + 9))
            await clock.advance(FOLLOW_DELAY_S)
        assert log.reads == 0, "the one knows its own, the other needs none"
        await worker.publish(made(0, 60))
        assert await ends(log) == 60, "45 of them are repeats"
        await intake.publish(made(60, 70))
        await clock.advance(2 * FOLLOW_DELAY_S)
        assert (await intake.append(*sent(made(0, 70)))).duplicates == 70
        assert (await worker.append(*sent(made(0, 70)))).duplicates == 70


async def ends(log: MemoryLog) -> int:
    return sum([(await log.bounds(partition)).end for partition in range(log.partitions)])


def sent(events: Sequence[Event]) -> tuple[list[bytes], list[AppendEnvelope]]:
    return [one.to_json() for one in events], [one.envelope for one in events]


async def test_who_only_follows_forgets_as_well() -> None:
    log, clock = MemoryLog(2), ManualClock()
    intake, follower = (Appender(log, clock, 60.0) for _ in range(2))
    await follower.load_recent()
    await intake.load_recent()
    async with appending(intake, follower):
        for turn in range(20):
            await intake.publish(made(9 * turn, 9 * turn + 9))
            await clock.advance(10.0)
        assert (await follower.append(*sent(made(171, 180)))).duplicates == 9
        assert (await follower.append(*sent(made(0, 9)))).accepted == 9, "three windows ago"
