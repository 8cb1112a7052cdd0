"""The log in JetStream on three servers that sync always: events a second, appended and read."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from nats_cluster import NatsCluster, nats_cluster

from busway.engine.jetstream import JetStreamLog, Place
from busway.ports import Draft

EVENT_BYTES = 230
SECONDS = 6.0
WARM_S = 1.0
READ_BYTES = 4 * 1024 * 1024


def event(number: int) -> bytes:
    """Return an order of 230 bytes, as every benchmark uses them."""
    plain = {"specversion": "1.0", "id": f"{number:012}", "source": "/shop", "type": "order"}
    body = json.dumps(plain | {"data": {"id": number, "note": ""}}).encode()
    return body[:-3] + b"x" * (EVENT_BYTES - len(body)) + body[-3:]


async def appended(log: JetStreamLog, batch: int, partitions: int) -> tuple[float, float]:
    """Append for some seconds; return events a second and the time of one append."""
    drafts = [Draft(p, [event(n) for n in range(batch)]) for p in range(partitions)]
    at = datetime.now(UTC)
    began = time.perf_counter()
    while time.perf_counter() - began < WARM_S:
        await log.append(drafts, at)
    count = 0
    began = time.perf_counter()
    while (took := time.perf_counter() - began) < SECONDS:
        await log.append(drafts, at)
        count += 1
    return count * batch * partitions / took, took / count


async def read(log: JetStreamLog, partition: int) -> int:
    """Read a partition as a lane does; return how many events it has."""
    offset, end = await log.bounds(partition)
    start = offset
    while offset < end:
        offset = (await log.read(partition, offset, READ_BYTES))[-1].end
    return end - start


async def measured(cluster: NatsCluster, batch: int, partitions: int) -> dict[str, Any]:
    place = Place.of(cluster.address(f"bench{batch}x{partitions}"))
    log = await JetStreamLog.open(place, partitions)
    events_s, append_s = await appended(log, batch, partitions)
    await log.close()
    log = await JetStreamLog.open(place, partitions)
    began = time.perf_counter()
    count = sum([await read(log, partition) for partition in range(partitions)])
    read_s = count / (time.perf_counter() - began)
    await log.close()
    return {
        "what": f"batches of {batch} to {partitions} partitions at once",
        "append": events_s,
        "append_ms": append_s * 1000,
        "read": read_s,
    }


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--servers", type=int, default=3)
    options.add_argument("--partitions", type=int, nargs="*", default=[1, 4])
    options.add_argument("--batch", type=int, nargs="*", default=[500, 1000])
    options.add_argument("--sync", default="always")
    given = options.parse_args()
    with nats_cluster(given.servers, sync=given.sync) as cluster:
        for batch in given.batch:
            for partitions in given.partitions:
                row = asyncio.run(measured(cluster, batch, partitions))
                print(
                    f"{row['what']}: append {row['append']:,.0f} events/s"
                    f" ({row['append_ms']:.1f} ms), read {row['read']:,.0f} events/s",
                    flush=True,
                )


if __name__ == "__main__":
    main()
