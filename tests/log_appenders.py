"""Several append to one log while others follow it: no batch is missed, and each reads the same."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

from busway.ports import Log, NewBatch

AT = datetime(2030, 1, 1, tzinfo=UTC)
WITHIN_S = 60.0


async def follow(log: Log, partition: int, count: int) -> list[bytes]:
    """Read a partition from its beginning, as a lane does."""
    seen: list[bytes] = []
    while len(seen) < count:
        await log.wait(partition, len(seen))
        for batch in await log.read(partition, len(seen), 1000):
            assert batch.offset <= len(seen), "a batch was missed"
            seen += batch.events[len(seen) - batch.offset :]
    return seen


async def all_is_read(appenders: Sequence[Log], readers: Sequence[Log], rounds: int) -> None:
    """Append to all partitions from all at once, in either order, and follow from the beginning.

    Each reader finds each event once, those of an appender in its order, and the bounds after all.
    """

    async def append(number: int, log: Log) -> None:
        partitions = range(log.partitions)
        for turn in range(rounds):
            draft = [b"%d-%d-%d" % (number, turn, n) for n in range(turn % 3 + 1)]
            order = partitions if number % 2 else reversed(partitions)
            await log.append([NewBatch(partition, draft) for partition in order], AT)

    count = len(appenders) * sum(turn % 3 + 1 for turn in range(rounds))
    partitions = range(readers[0].partitions)
    following = [
        asyncio.create_task(follow(reader, partition, count))
        for partition in partitions
        for reader in readers
    ]
    async with asyncio.timeout(WITHIN_S):
        await asyncio.gather(*(append(number, log) for number, log in enumerate(appenders)))
        found = await asyncio.gather(*following)
    for events in found:
        _in_order(events, count, len(appenders))
    for partition in partitions:
        same = found[partition * len(readers) : (partition + 1) * len(readers)]
        assert all(events == same[0] for events in same)
        assert [await one.bounds(partition) for one in readers] == [(0, count)] * len(readers)


def _in_order(events: list[bytes], count: int, appenders: int) -> None:
    assert len(set(events)) == len(events) == count
    for number in range(appenders):
        mine = [event for event in events if event.startswith(b"%d-" % number)]
        turns = [tuple(map(int, event.split(b"-"))) for event in mine]
        assert turns == sorted(turns)
