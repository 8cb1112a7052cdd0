"""What was answered is there after ``kill -9``."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path

from busway.engine.registry import open_stores
from busway.lane import Counts
from busway.settings import Settings
from busway.settlement import Settlement
from busway.testing.ledger_suite import assert_conserved

AT = datetime(2030, 1, 1, tzinfo=UTC)
ROUNDS = 4
ANSWERS = 60
WORK = """
import asyncio, pathlib, sys
from datetime import UTC, datetime
from busway.engine.registry import open_stores
from busway.lane import Counts
from busway.ports import NeedsMaintenance, NewBatch
from busway.settings import Settings
from busway.settlement import Settlement

AT = datetime(2030, 1, 1, tzinfo=UTC)

async def main():
    settings = Settings(data=pathlib.Path(sys.argv[1]), partitions=1, min_free_bytes=0)
    stores = await open_stores(settings)
    cursor = (await stores.ledger.open_lane("f", 0, 0)).cursor
    while True:
        (offset,) = await stores.log.append([NewBatch(0, [b"x" * 30_000] * 10)], AT)
        settled = Settlement("f", 0, cursor, offset + 10, AT, "v", Counts(offset + 10 - cursor))
        assert await stores.ledger.settle([settled]) == [True]
        cursor = offset + 10
        print(cursor, flush=True)
        if cursor % 100 == 0:
            await stores.log.maintain()
            await stores.ledger.maintain()

asyncio.run(main())
"""


async def killed(place: Path) -> int:
    """Let a process work, kill it in the middle, and return what it answered last."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WORK, str(place), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout
    answers = [await process.stdout.readline() for _ in range(ANSWERS)]
    process.kill()
    answers += (await process.stdout.read()).splitlines(keepends=True)
    await process.wait()
    return int([answer for answer in answers if answer.endswith(b"\n")][-1])


async def test_acknowledged_events_survive_a_kill(settings: Settings) -> None:
    end = 0
    for _ in range(ROUNDS):
        answered = await killed(settings.data)
        assert answered >= end + ANSWERS * 10
        stores = await open_stores(settings)
        _, end = await stores.log.bounds(0)
        (lane,) = await stores.ledger.lanes()
        assert answered <= lane.cursor <= end <= answered + 20
        stored = 0
        while batches := await stores.log.read(0, stored, 1 << 20):
            stored = batches[-1].end
        assert stored == end
        await assert_conserved(stores.ledger)
        catch_up = Settlement("f", 0, lane.cursor, end, AT, "v", Counts(end - lane.cursor))
        assert list(await stores.ledger.settle([catch_up])) == [True]
        await stores.close()
