"""Servers of a cluster die and stand still while events are appended: each is there once."""

from __future__ import annotations

import asyncio
import gc
import itertools
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest

from busway.engine.jetstream import JetStreamAddress, JetStreamLog
from busway.errors import StoreError
from busway.ports import NewBatch
from delivery_node import DEADLINE_S
from nats_cluster import NatsCluster, nats_cluster

pytestmark = [
    pytest.mark.slow,
    # nats-py leaves a connection open that a server took, and then stood still before its greeting
    pytest.mark.filterwarnings("ignore:unclosed .*(StreamWriter|transport|socket):ResourceWarning"),
]
AT = datetime(2030, 1, 1, tzinfo=UTC)
PARTITIONS = 3
EVERYTHING = 1 << 30


@pytest.fixture(scope="module")
def servers() -> Iterator[NatsCluster]:
    with nats_cluster(3) as found:
        yield found


@pytest.fixture
def cluster(servers: NatsCluster) -> Iterator[NatsCluster]:
    yield servers
    gc.collect()  # what nats-py has left
    for node in servers.nodes:
        if node.running:
            node.resume()
    servers.start()


@pytest.fixture
def place(cluster: NatsCluster) -> JetStreamAddress:
    return JetStreamAddress.parse(cluster.address(f"log{uuid.uuid4().hex}"))


@asynccontextmanager
async def opened(place: JetStreamAddress) -> AsyncIterator[JetStreamLog]:
    log = await JetStreamLog.open(place, PARTITIONS)
    try:
        yield log
    finally:
        await log.close()


class Appender:
    """Appends until it is told to stop, and knows what was acknowledged and what may be there."""

    def __init__(self, log: JetStreamLog, name: str) -> None:
        self._log = log
        self._name = name
        self._stopping = False
        self._grown = asyncio.Condition()
        self.acknowledged: dict[bytes, tuple[int, int]] = {}
        self.unsure: set[bytes] = set()

    async def run(self) -> None:
        for turn in itertools.count():
            if self._stopping:
                return
            await self._append(turn)

    async def _append(self, turn: int) -> None:
        drafts = [NewBatch(p, self._events(turn, p)) for p in range(turn % PARTITIONS + 1)]
        try:
            offsets = await self._log.append(drafts, AT)
        except StoreError:
            self.unsure |= {event for draft in drafts for event in draft.events}
            return
        for draft, offset in zip(drafts, offsets, strict=True):
            for index, event in enumerate(draft.events):
                self.acknowledged[event] = (draft.partition, offset + index)
        async with self._grown:
            self._grown.notify_all()

    def _events(self, turn: int, partition: int) -> list[bytes]:
        return [b"%s-%d-%d-%d" % (self._name.encode(), turn, partition, n) for n in range(3)]

    def stop(self) -> None:
        self._stopping = True

    async def more(self, count: int = 40) -> None:
        """Return once this many more events were acknowledged."""
        wanted = len(self.acknowledged) + count
        async with asyncio.timeout(DEADLINE_S), self._grown:
            await self._grown.wait_for(lambda: len(self.acknowledged) >= wanted)


async def contents(log: JetStreamLog) -> list[list[bytes]]:
    """Read all partitions from their beginnings to their ends."""
    found = []
    for partition in range(PARTITIONS):
        offset, end = await log.bounds(partition)
        events: list[bytes] = []
        while offset < end:
            for batch in await log.read(partition, offset, EVERYTHING):
                assert batch.offset == offset
                events += batch.events
                offset = batch.end
        found.append(events)
    return found


async def disturbed(
    place: JetStreamAddress, disturb: Callable[[], None], recover: Callable[[], None]
) -> None:
    """Append from two places while something happens; then see that all of it is there once."""
    async with opened(place) as first, opened(place) as second:
        appenders = [Appender(first, "a"), Appender(second, "b")]
        async with asyncio.TaskGroup() as group:
            for appender in appenders:
                group.create_task(appender.run())
            try:
                await more(appenders)
                await asyncio.to_thread(disturb)
                await more(appenders)
                await asyncio.to_thread(recover)
                await more(appenders)
            finally:
                for appender in appenders:
                    appender.stop()
    async with opened(place) as reader:
        found = await contents(reader)
    check(found, appenders)


async def more(appenders: list[Appender]) -> None:
    """Return once each has appended more."""
    await asyncio.gather(*(appender.more() for appender in appenders))


def check(found: list[list[bytes]], appenders: list[Appender]) -> None:
    counted = Counter(event for events in found for event in events)
    assert set(counted.values()) == {1}
    for appender in appenders:
        for event, (partition, offset) in appender.acknowledged.items():
            assert found[partition][offset] == event
    known = set[bytes]().union(*(one.acknowledged.keys() | one.unsure for one in appenders))
    assert set(counted) <= known
    for name, events in itertools.product((b"a", b"b"), found):
        turns = [int(event.split(b"-")[1]) for event in events if event.startswith(name)]
        assert turns == sorted(turns)


async def test_the_leader_is_killed(cluster: NatsCluster, place: JetStreamAddress) -> None:
    await disturbed(place, lambda: cluster.leader(place.name).kill(), cluster.start)


async def test_a_follower_is_killed(cluster: NatsCluster, place: JetStreamAddress) -> None:
    await disturbed(place, lambda: cluster.follower(place.name).kill(), cluster.start)


async def test_the_leader_stalls(cluster: NatsCluster, place: JetStreamAddress) -> None:
    paused = []

    def pause() -> None:
        paused.append(cluster.leader(place.name))
        paused[0].pause()

    def resume() -> None:
        paused[0].resume()
        cluster.wait_until_healthy()

    await disturbed(place, pause, resume)


async def test_all_servers_are_killed_and_restarted(
    cluster: NatsCluster, place: JetStreamAddress
) -> None:
    def restart() -> None:
        cluster.kill()
        cluster.start()

    await disturbed(place, restart, lambda: None)


async def test_without_a_quorum_nothing_is_acknowledged_and_waiters_keep_waiting(
    cluster: NatsCluster, place: JetStreamAddress
) -> None:
    async with opened(place) as log, opened(place) as reader:
        await log.append([NewBatch(0, [b"before"])], AT)
        log._publisher.retry_timeout_s = 1.0
        waiting = asyncio.create_task(reader.wait(1, 0))
        for node in cluster.nodes[:2]:
            node.kill()
        with pytest.raises(StoreError, match="it is not known whether the events were stored"):
            await log.append([NewBatch(0, [b"during"])], AT)
        cluster.nodes[2].kill()
        await asyncio.to_thread(cluster.start)
        log._publisher.retry_timeout_s = DEADLINE_S
        async with asyncio.timeout(DEADLINE_S):
            offsets = await log.append([NewBatch(0, [b"after"]), NewBatch(1, [b"x"])], AT)
            await waiting
        found = await contents(log)
        assert found[0] in ([b"before", b"after"], [b"before", b"during", b"after"])
        assert found[0][offsets[0]] == b"after"
        assert found[1] == [b"x"]
        (batch,) = await reader.read(1, 0, EVERYTHING)
        assert list(batch.events) == [b"x"]


async def test_a_log_is_closed_while_no_server_responds(
    cluster: NatsCluster, place: JetStreamAddress
) -> None:
    async with opened(place) as log:
        log._publisher.retry_timeout_s = 600.0
        for node in cluster.nodes:
            node.pause()
        appending = asyncio.create_task(log.append([NewBatch(0, [b"a"])], AT))
        waiting = asyncio.create_task(log.wait(0, 0))
        await asyncio.sleep(0)
        async with asyncio.timeout(DEADLINE_S):
            await log.close()
            await waiting
            with pytest.raises(StoreError, match="closed"):
                await appending
