"""The log in JetStream on three servers that sync always: events a second, appended and read."""

from __future__ import annotations

import argparse
import random
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import psutil
import uvloop

from busway.engine.jetstream import JetStreamAddress, JetStreamLog
from busway.ports import NewBatch
from nats_cluster import NatsCluster, nats_cluster

SECONDS = 6.0
WARM_S = 1.0
READ_BYTES = 4 * 1024 * 1024


def order(number: int) -> bytes:
    """Return an order of about 230 bytes, as different from others as real ones are."""
    chance = random.Random(number)
    identity = uuid.UUID(int=chance.getrandbits(128))
    customer, microsecond = chance.randrange(100_000), chance.randrange(1_000_000)
    return (
        f'{{"specversion":"1.0","id":"{identity}","source":"/shop","type":"order.created",'
        f'"subject":"customer-{customer}","time":"2026-01-02T03:04:05.{microsecond:06}Z",'
        f'"data":{{"order_id":{number},"total":{chance.randrange(100_000) / 100},'
        f'"currency":"EUR"}}}}'
    ).encode()


class Cost:
    """What a stretch of work took: time, and the processor time of client and servers."""

    seconds = client_s = servers_s = 0.0


@contextmanager
def taken(cluster: NatsCluster) -> Iterator[Cost]:
    cost = Cost()
    before = time.perf_counter(), time.process_time(), _busy(cluster)
    yield cost
    cost.seconds = time.perf_counter() - before[0]
    cost.client_s = time.process_time() - before[1]
    cost.servers_s = _busy(cluster) - before[2]


def _busy(cluster: NatsCluster) -> float:
    times = [psutil.Process(node.pid).cpu_times() for node in cluster.nodes]
    return sum(one.user + one.system for one in times)


async def append(log: JetStreamLog, drafts: list[NewBatch], seconds: float) -> int:
    """Append for some seconds; return how often."""
    count = 0
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        await log.append(drafts, datetime.now(UTC))
        count += 1
    return count


async def read(log: JetStreamLog, partition: int) -> int:
    """Read a partition as a lane does; return how many events it has."""
    offset, end = await log.bounds(partition)
    start = offset
    while offset < end:
        offset = (await log.read(partition, offset, READ_BYTES))[-1].end
    return end - start


async def measured(
    cluster: NatsCluster, place: JetStreamAddress, batch: int, partitions: int
) -> str:
    drafts = [NewBatch(p, [order(n) for n in range(batch)]) for p in range(partitions)]
    log = await JetStreamLog.open(place, partitions)
    await append(log, drafts, WARM_S)
    with taken(cluster) as wrote:
        times = await append(log, drafts, SECONDS)
    await log.close()
    log = await JetStreamLog.open(place, partitions)
    with taken(cluster) as got:
        count = sum([await read(log, partition) for partition in range(partitions)])
    await log.close()
    latency = f"{wrote.seconds / times * 1000:.1f} ms each"
    return "\n".join(
        (
            f"batches of {batch} to {partitions} partitions at once, {place.sync}",
            f"  append {_rates(times * batch * partitions, wrote)}, {latency}",
            f"  read   {_rates(count, got)}",
        )
    )


def _rates(events: int, cost: Cost) -> str:
    per_event = 1e6 / events
    return (
        f"{events / cost.seconds:11,.0f} events/s, processor time per event:"
        f" client {cost.client_s * per_event:.2f} µs, servers {cost.servers_s * per_event:.2f} µs"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--servers", type=int, default=3)
    parser.add_argument("--partitions", type=int, nargs="*", default=[1, 4])
    parser.add_argument("--batch", type=int, nargs="*", default=[500, 1000])
    parser.add_argument("--plain", action="store_true", help="without compression")
    parser.add_argument("--lazy", action="store_true", help="servers that sync now and then")
    given = parser.parse_args()
    with nats_cluster(given.servers, sync="2m" if given.lazy else "always") as cluster:
        for batch in given.batch:
            for partitions in given.partitions:
                sync = "lazy" if given.lazy else "always"
                options = {"sync": sync, "compress": str(not given.plain).lower()}
                place = JetStreamAddress.of(
                    cluster.address(f"bench{batch}x{partitions}", **options)
                )
                print(uvloop.run(measured(cluster, place, batch, partitions)), flush=True)


if __name__ == "__main__":
    main()
