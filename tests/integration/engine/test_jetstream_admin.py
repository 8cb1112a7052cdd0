"""A log is open while an administrator changes its stream, or the servers."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from busway.engine.jetstream import JetStreamAddress, JetStreamLog
from busway.engine.jetstream.connection import MessageTooLarge
from busway.engine.jetstream.retry_deadline import RETRY_TIMEOUT_S
from busway.errors import StoreCorrupted, StoreError, StoreFull
from busway.ports import NewBatch
from delivery_node import until
from nats_admin import edit, request
from nats_cluster import NatsCluster, nats_cluster

AT = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.fixture
def place(nats: NatsCluster) -> JetStreamAddress:
    return JetStreamAddress.parse(nats.address(f"log{uuid.uuid4().hex}"))


@asynccontextmanager
async def opened(place: JetStreamAddress) -> AsyncIterator[JetStreamLog]:
    log = await JetStreamLog.open(place, 2)
    log._publisher.retry_timeout_s = 0.5
    try:
        yield log
    finally:
        await log.close()


async def test_another_stream_that_has_its_subjects_takes_no_events(
    nats: NatsCluster, place: JetStreamAddress
) -> None:
    async with opened(place) as log:
        await request(nats, f"$JS.API.STREAM.DELETE.{place.name}", {})
        other = {"name": "other", "subjects": [f"{place.name}.>"], "allow_atomic": True}
        await request(nats, "$JS.API.STREAM.CREATE.other", other)
        for drafts in ([NewBatch(0, [b"a"])], [NewBatch(0, [b"a"]), NewBatch(1, [b"b"])]):
            with pytest.raises(StoreError, match="another stream has its subjects"):
                await log.append(drafts, AT)
        found = await request(nats, "$JS.API.STREAM.INFO.other", {})
        assert found["state"]["messages"] == 0


async def test_a_deleted_stream_is_reported(nats: NatsCluster, place: JetStreamAddress) -> None:
    async with opened(place) as log:
        await log.append([NewBatch(0, [b"a"])], AT)
        await request(nats, f"$JS.API.STREAM.DELETE.{place.name}", {})
        with pytest.raises(StoreError, match="it was deleted, restore it"):
            await log.bounds(0)
        async with opened(place) as other:
            assert await other.bounds(0) == (0, 0)
        with pytest.raises(StoreCorrupted, match=r"another log now .*, not " + log.identity):
            await log.bounds(0)


async def test_a_purged_stream_is_corrupted(nats: NatsCluster, place: JetStreamAddress) -> None:
    async with opened(place) as log, opened(place) as reader:
        for number in range(5):
            await log.append([NewBatch(0, [b"%d" % number])], AT)
        assert await reader.bounds(0) == (0, 5)
        await request(nats, f"$JS.API.STREAM.PURGE.{place.name}", {})
        with pytest.raises(StoreCorrupted, match="events before offset 5 are missing"):
            await reader.read(0, 2, 1)
        with pytest.raises(StoreCorrupted, match="events before offset 5 are missing"):
            await reader.bounds(0)
        assert await reader.bounds(1) == (0, 0)
        with pytest.raises(StoreError, match=r"does not end where it did; .* restore the stream"):
            await log.append([NewBatch(0, [b"x"])], AT)
        with pytest.raises(StoreCorrupted, match="was purged; restore it"):
            await JetStreamLog.open(place, 2)


async def test_a_process_stops_using_a_partition_that_is_purged(
    nats: NatsCluster, place: JetStreamAddress
) -> None:
    async with opened(place) as log:
        for number in range(5):
            await log.append([NewBatch(0, [b"%d" % number]), NewBatch(1, [b"x"])], AT)
        purged = {"filter": f"{place.name}.0"}
        await request(nats, f"$JS.API.STREAM.PURGE.{place.name}", purged)
        with pytest.raises(StoreError, match="does not end where it did"):
            await log.append([NewBatch(0, [b"x"])], AT)
        async with opened(place) as fresh:
            assert await fresh.bounds(0) == (0, 0)
            assert await fresh.skip_to(0, 3) == 0
            assert list(await fresh.append([NewBatch(0, [b"new"])], AT)) == [3]
            for asked in (log.bounds(0), log.read(0, 3, 1), log.append([NewBatch(0, [b"x"])], AT)):
                with pytest.raises(StoreCorrupted, match=r"while this process runs.*restart it"):
                    await asked
            assert list(await log.append([NewBatch(1, [b"y"])], AT)) == [5]
            assert await fresh.bounds(0) == (3, 4)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"discard": "old"}, "discard is 'old'"),
        ({"max_age": 3_600_000_000_000}, "max_age is 3600000000000 and must be 0"),
        ({"allow_direct": False}, "allow_direct is False"),
        ({"subjects": ["elsewhere.*"], "republish": None}, "subjects is"),
    ],
)
async def test_a_reconfigured_stream_is_reported(
    nats: NatsCluster, place: JetStreamAddress, changes: dict[str, Any], text: str
) -> None:
    async with opened(place) as log:
        await log.append([NewBatch(0, [b"a"])], AT)
        await edit(nats, place.name, **changes)
        with pytest.raises(StoreError, match=text):
            await log.bounds(0)


async def test_a_stream_that_takes_no_more_messages_is_full(
    nats: NatsCluster, place: JetStreamAddress
) -> None:
    async with opened(place) as log:
        await log.append([NewBatch(0, [b"a"])], AT)
        await edit(nats, place.name, max_msgs=1)
        for drafts in ([NewBatch(0, [b"b"])], [NewBatch(0, [b"b"]), NewBatch(1, [b"c"])]):
            with pytest.raises(StoreFull, match="maximum messages exceeded"):
                await log.append(drafts, AT)


async def test_a_lowered_max_payload_is_reported(place: JetStreamAddress) -> None:
    with nats_cluster() as nats:
        async with opened(JetStreamAddress.parse(nats.address(place.name, compress=False))) as log:
            (node,) = nats.nodes
            node.stop()
            node.configure("", {"max_payload": 200_000})
            nats.start()

            async def noticed() -> bool:
                return log._stream.connection.max_payload == 200_000

            await until(noticed)
            with pytest.raises(
                MessageTooLarge, match=r"messages of 200000 bytes now.*raise max_payload"
            ):
                await log.append([NewBatch(0, [os.urandom(300_000)])], AT)
            events = [os.urandom(100_000) for _ in range(5)]
            assert list(await log.append([NewBatch(0, events), NewBatch(1, [b"a"])], AT)) == [0, 0]
            assert await log.bounds(0) == (0, 5)


async def test_missing_permissions_are_reported(place: JetStreamAddress) -> None:
    extra = """authorization { users: [
      { user: all, password: x }
      { user: mute, password: x, permissions: { publish: "$JS.API.>", subscribe: ">" } }
      { user: deaf, password: x, permissions: { publish: ">", subscribe: "other" } }
    ] }"""
    with nats_cluster(extra=extra) as nats:

        def of(user: str) -> JetStreamAddress:
            return JetStreamAddress.parse(f"nats://{user}:x@{nats.servers}/{place.name}")

        async with opened(of("all")):
            pass
        async with opened(of("mute")) as log:
            with pytest.raises(StoreError, match=rf'for publish to "{place.name}.0"; allow it'):
                await log.append([NewBatch(0, [b"a"])], AT)
        with pytest.raises(StoreError, match=r'for subscription to "_inbox\..*; allow it'):
            async with asyncio.timeout(RETRY_TIMEOUT_S):  # it is not tried again
                await JetStreamLog.open(of("deaf"), 2)
