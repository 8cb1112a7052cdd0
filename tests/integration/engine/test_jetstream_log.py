"""A log in JetStream over connections that lose things, with many appenders, split and trimmed."""

from __future__ import annotations

import asyncio
import json
import random
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import msgspec
import nats
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from busway.engine.jetstream import JetStreamAddress, JetStreamLog
from busway.errors import StoreCorrupted, StoreError, StoreFull
from busway.ports import NewBatch
from delivery_node import DEADLINE_S, until
from log_appenders import all_is_read
from nats_cluster import NatsCluster, nats_cluster
from nats_proxy import Proxy, proxy_to
from service import free_ports

AT = datetime(2030, 1, 1, tzinfo=UTC)
PARTITIONS = 2
EVERYTHING = 1 << 30


@pytest.fixture(scope="module", params=[1, 3], ids=["one server", "three servers"])
def cluster(request: pytest.FixtureRequest) -> Iterator[NatsCluster]:
    with nats_cluster(request.param) as found:
        yield found


@pytest.fixture
def place(cluster: NatsCluster) -> JetStreamAddress:
    return JetStreamAddress.parse(cluster.address(f"log{uuid.uuid4().hex}"))


@asynccontextmanager
async def opened(
    place: JetStreamAddress, partitions: int = PARTITIONS
) -> AsyncIterator[JetStreamLog]:
    log = await JetStreamLog.open(place, partitions)
    try:
        yield log
    finally:
        await log.close()


async def contents(log: JetStreamLog, partition: int = 0) -> list[bytes]:
    offset, end = await log.bounds(partition)
    found: list[bytes] = []
    while offset < end:
        batches = await log.read(partition, offset, EVERYTHING)
        found += [event for batch in batches for event in batch.events]
        offset = batches[-1].end
    return found


async def test_no_batch_is_missed_while_many_append(place: JetStreamAddress) -> None:
    async with opened(place) as first, opened(place) as second, opened(place) as reader:
        await all_is_read([first, second, first, second], [reader], rounds=30)


async def test_a_reader_finds_any_offset_of_a_long_log(place: JetStreamAddress) -> None:
    chance = random.Random(7)
    async with opened(place) as log:
        sent: list[bytes] = []
        for _ in range(150):
            events = [b"%d" % (len(sent) + n) for n in range(chance.randrange(1, 9))]
            await log.append([NewBatch(chance.randrange(2), [b"other"]), NewBatch(0, events)], AT)
            sent += events
    async with opened(place) as log:
        stored = await contents(log)
    for _ in range(20):
        async with opened(place) as log:
            offset = chance.randrange(len(stored))
            batch = (await log.read(0, offset, 0))[0]
            assert batch.events[offset - batch.offset] == stored[offset]


async def test_a_draft_too_large_for_a_message_is_split(place: JetStreamAddress) -> None:
    chance = random.Random(7)
    events = [chance.randbytes(700_000) for _ in range(30)]
    async with opened(place) as log, opened(place) as reader:
        assert list(await log.append([NewBatch(0, events), NewBatch(1, [b"x"])], AT)) == [0, 0]
        assert await contents(reader) == events
        assert list(await log.append([NewBatch(0, [b"y"])], AT)) == [30]
        assert len(await reader.read(0, 0, 1)) == 1


async def test_other_processes_see_a_trim(place: JetStreamAddress) -> None:
    async with opened(place) as log, opened(place) as other:
        for number in range(6):
            await log.append([NewBatch(0, [b"%d" % number, b"-"])], AT)
        assert await contents(other) == [b"%d" % n if m else b"-" for n in range(6) for m in (1, 0)]
        assert await log.trim(0, 7) == 6
        assert await other.bounds(0) == (6, 12)
        assert (await other.read(0, 0, EVERYTHING))[0].offset in (0, 6)
        assert await log.trim(0, 99) == 6
        assert await other.bounds(0) == (12, 12)
        assert list(await other.append([NewBatch(0, [b"a"])], AT)) == [12]
        assert list(await log.append([NewBatch(0, [b"b"])], AT)) == [13]
        assert await contents(log) == [b"a", b"b"]


async def test_a_trim_of_everything_keeps_concurrent_appends(place: JetStreamAddress) -> None:
    async with opened(place) as log, opened(place) as other:
        for number in range(40):
            event = b"%d" % number
            _, (offset,) = await asyncio.gather(
                log.trim(0, number), other.append([NewBatch(0, [event])], AT)
            )
            assert offset == number
            async with opened(place) as reader:  # it has seen nothing but what is there
                assert (await contents(reader))[-1:] == [event], "it was acknowledged, and is gone"


@asynccontextmanager
async def through_proxy(
    cluster: NatsCluster, place: JetStreamAddress, duplicate_window_s: float
) -> AsyncIterator[tuple[Proxy, JetStreamLog]]:
    """Open a log that sees its servers through a proxy only."""
    async with proxy_to(cluster.nodes[0].port) as proxy:
        servers = (f"127.0.0.1:{proxy.port}",)
        async with opened(
            msgspec.structs.replace(place, servers=servers, duplicate_window_s=duplicate_window_s)
        ) as log:
            yield proxy, log


@asynccontextmanager
async def client_of(cluster: NatsCluster) -> AsyncIterator[Client]:
    """Connect to the first server, beside all logs."""
    client = await nats.connect(f"nats://{cluster.servers.split(',')[0]}")
    try:
        yield client
    finally:
        await client.close()


async def forgotten(cluster: NatsCluster, place: JetStreamAddress) -> None:
    """Return once the servers have forgotten the ids of all messages."""
    async with client_of(cluster) as client:
        stored = await client.jetstream().get_last_msg(place.name, f"{place.name}.0")
        assert stored.headers is not None
        headers = {"Nats-Expected-Last-Sequence": "999999999"}
        if "Nats-Msg-Id" in stored.headers:
            headers["Nats-Msg-Id"] = stored.headers["Nats-Msg-Id"]

        async def refused() -> bool:
            answer = await client.request(f"{place.name}.0", b"", DEADLINE_S, headers=headers)
            return "error" in json.loads(answer.data)

        await until(refused)


@pytest.mark.parametrize(
    "duplicate_window_s", [120.0, 0.1], ids=["within the window", "beyond the window"]
)
@pytest.mark.parametrize("partitions", [[0], [0, 1]], ids=["one message", "several"])
async def test_an_append_whose_acknowledgement_is_lost_is_stored_once(
    cluster: NatsCluster, place: JetStreamAddress, duplicate_window_s: float, partitions: list[int]
) -> None:
    async with (
        through_proxy(cluster, place, duplicate_window_s) as (proxy, log),
        opened(place) as reader,
    ):
        await log.append([NewBatch(p, [b"before"]) for p in partitions], AT)
        proxy.mute()
        drafts = [NewBatch(p, [b"once", b"only"]) for p in partitions]
        appending = asyncio.create_task(log.append(drafts, AT))
        for partition in partitions:
            await reader.wait(partition, 2)
        if duplicate_window_s < 1:
            await forgotten(cluster, place)
        assert not appending.done()
        proxy.cut()
        async with asyncio.timeout(DEADLINE_S):
            assert list(await appending) == [1] * len(partitions)
            assert list(await log.append([NewBatch(0, [b"after"])], AT)) == [3]
        assert await contents(reader) == [b"before", b"once", b"only", b"after"]


@pytest.mark.parametrize(
    "duplicate_window_s", [120.0, 0.1], ids=["within the window", "beyond the window"]
)
@pytest.mark.parametrize("partitions", [[0], [0, 1]], ids=["one message", "several"])
async def test_a_late_copy_is_not_stored(
    cluster: NatsCluster, place: JetStreamAddress, duplicate_window_s: float, partitions: list[int]
) -> None:
    async with (
        through_proxy(cluster, place, duplicate_window_s) as (proxy, log),
        opened(place) as reader,
    ):
        await log.append([NewBatch(0, [b"before"])], AT)
        proxy.hold()
        drafts = [NewBatch(p, [b"once", b"only"]) for p in partitions]
        appending = asyncio.create_task(log.append(drafts, AT))
        await until(lambda: proxy.holds(b"Busway-Message-Id"))
        proxy.cut()
        async with asyncio.timeout(DEADLINE_S):
            assert list(await appending) == [1, 0][: len(partitions)]
        if duplicate_window_s < 1:
            await forgotten(cluster, place)
        async with overheard(cluster, "_INBOX") as heard:
            await proxy.release()
            await until(lambda: any(b"wrong last" in m or b"duplicate" in m for m in heard))
        assert list(await log.append([NewBatch(0, [b"after"])], AT)) == [3]
        assert await contents(reader) == [b"before", b"once", b"only", b"after"]


@asynccontextmanager
async def overheard(cluster: NatsCluster, above: str) -> AsyncIterator[list[bytes]]:
    """Listen to what is said on the subjects below one."""
    heard: list[bytes] = []

    async def hear(message: Msg) -> None:
        heard.append(message.data)

    async with client_of(cluster) as client:
        await client.subscribe(f"{above}.>", cb=hear)
        # a flush proves nothing: its ping overtakes the subscription
        await client.publish(f"{above}.{uuid.uuid4().hex}", b"listening")
        await until(lambda: b"listening" in heard)
        yield heard


@pytest.mark.parametrize("partitions", [[0], [0, 1]], ids=["one message", "several"])
async def test_a_server_that_led_before_says_that_another_message_came_first(
    cluster: NatsCluster, place: JetStreamAddress, partitions: list[int]
) -> None:
    """As one that stood still does; it may be quicker than the leader, which stores the message."""
    refusal = {"code": 400, "err_code": 10164, "description": "wrong last sequence"}
    answer = json.dumps({"error": refusal}).encode()
    told = asyncio.Event()

    async with opened(place) as log, opened(place) as reader, client_of(cluster) as client:

        async def refuse(message: Msg) -> None:
            if message.reply:
                await client.publish(message.reply, answer)
            told.set()

        await client.subscribe(f"{place.name}.*", cb=refuse)
        await client.publish(f"{place.name}.none", b"")
        await told.wait()
        for number in range(40):
            drafts = [NewBatch(p, [b"%d" % number]) for p in partitions]
            assert list(await log.append(drafts, AT)) == [number] * len(partitions)
        for partition in partitions:
            assert await contents(reader, partition) == [b"%d" % n for n in range(40)]


async def test_a_message_that_was_deleted_is_noticed(
    cluster: NatsCluster, place: JetStreamAddress
) -> None:
    async with opened(place) as log:
        for number in range(5):
            await log.append([NewBatch(0, [b"%d" % number])], AT)
    async with client_of(cluster) as client:
        await client.jetstream().delete_msg(place.name, 3)
    await until(lambda: cluster.keep(place.name, 4))  # any server may be asked
    async with opened(place) as log:
        batches = await log.read(0, 0, EVERYTHING)
        assert [batch.offset for batch in batches] == [0, 1]
        with pytest.raises(StoreCorrupted, match="events before offset 3 are missing"):
            await log.read(0, 2, EVERYTHING)


async def test_a_message_of_another_program_is_noticed(
    cluster: NatsCluster, place: JetStreamAddress
) -> None:
    async with opened(place) as log:
        await log.append([NewBatch(0, [b"a"])], AT)
        async with client_of(cluster) as client:
            await client.jetstream().publish(f"{place.name}.0", b"hello")
        with pytest.raises(StoreCorrupted, match="Busway did not write it"):
            await log.append([NewBatch(0, [b"b"])], AT)


async def test_a_log_without_a_connection_reports_it(
    cluster: NatsCluster, place: JetStreamAddress
) -> None:
    async with through_proxy(cluster, place, 120.0) as (proxy, log):
        await log.append([NewBatch(0, [b"a"])], AT)
        await proxy.close()
    (port,) = free_ports(1)
    nowhere = msgspec.structs.replace(place, servers=(f"127.0.0.1:{port}",))
    with pytest.raises(StoreError, match="cannot be used now"):
        await JetStreamLog.open(nowhere, PARTITIONS)
    with pytest.raises(StoreError, match="closed"):
        await log.append([NewBatch(0, [b"b"])], AT)


async def test_servers_that_store_no_batches_of_messages(
    cluster: NatsCluster, place: JetStreamAddress
) -> None:
    """As servers before 2.12, each partition by itself, and full ones still store nothing."""
    log = await JetStreamLog.open(msgspec.structs.replace(place, compress=False), 2, 2_000_000)
    log._publisher.atomic = False
    chance = random.Random(7)
    events = [chance.randbytes(100_000) for _ in range(60)]
    first, second = events[:3], events[3:6]
    assert list(
        await log.append([NewBatch(0, first), NewBatch(1, second), NewBatch(0, first)], AT)
    ) == [
        0,
        0,
        3,
    ]
    with pytest.raises(StoreFull):
        await log.append([NewBatch(0, [b"s"]), NewBatch(1, events)], AT)
    assert await contents(log, 0) == first + first
    assert await contents(log, 1) == second
    await log.close()
