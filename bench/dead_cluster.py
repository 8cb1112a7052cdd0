"""A hundred thousand troubled events in a ledger on servers: listing, grouping, redriving."""

from __future__ import annotations

import asyncio
import sys
import time
from datetime import UTC, datetime
from typing import Any

import asyncpg
import structlog
import uvloop
from dead import AT, FLOW, PAGE, looked, trouble
from engine import ENGINES, Engine, chosen

from busway.control.context import ControlContext
from busway.control.dead_letter.job import DeadLetterJobSpec, begin_dead_letter_job
from busway.control.dead_letter.selection import DeadLetterSelection
from busway.control.job import job
from busway.engine.registry import open_stores
from busway.lane import Counts
from busway.ports import NewBatch, Stores
from busway.runtime.dead_letter_job import DeadLetterJobRunner
from busway.runtime.loop import Loop
from busway.runtime.process.interpreter import tune_interpreter
from busway.settlement import Settlement

LETTERS = 100_000
PARTITIONS = 4
BATCH = 5_000
BARE = """UPDATE failed_event SET state = 'parked', attempts = 0, due = now()
WHERE flow = $1 AND partition = $2 AND "offset" = $3"""


async def fill(stores: Stores) -> None:
    """Make a log that is all troubles."""
    for partition in range(PARTITIONS):
        await stores.ledger.open_lane(FLOW, partition, 0)
        for start in range(0, LETTERS // PARTITIONS, BATCH):
            made = tuple(trouble(partition, n) for n in range(start, start + BATCH))
            draft = NewBatch(partition, [one.event for one in made])
            await stores.log.append([draft], datetime.now(UTC))
            parked = sum(one.state == "parked" for one in made)
            counts = Counts(parked=parked, dead=len(made) - parked)
            place = (FLOW, partition, start, start + BATCH)
            assert all(await stores.ledger.settle([Settlement(*place, AT, "v1", counts, made)]))


async def redriven(stores: Stores) -> float:
    """Return the letters a second of a redrive at full speed."""
    control = ControlContext(log=stores.log, ledger=stores.ledger)
    begun = await begin_dead_letter_job(
        control, "redrive", DeadLetterJobSpec(selection=DeadLetterSelection()), "bench"
    )
    loop = Loop("redrive", DeadLetterJobRunner(control).turn)
    began = time.perf_counter()
    loop.start()
    while (found := await job(stores.ledger, begun.id)).state == "running":  # noqa: ASYNC110 - it is asked
        await asyncio.sleep(0.1)
    seconds = time.perf_counter() - began
    loop.stop()
    await loop.join(5.0)
    return found.done / seconds


async def bare(dsn: str) -> float:
    """Return the letters a second of the least there is to do: an UPDATE each, a commit a page."""
    connection = await asyncpg.connect(dsn, server_settings={"search_path": "busway"})
    try:
        wanted = (
            "SELECT flow, partition, \"offset\" FROM failed_event WHERE state = 'dead' LIMIT 20000"
        )
        places = [tuple(row) for row in await connection.fetch(wanted)]
        began = time.perf_counter()
        for first in range(0, len(places), PAGE):
            async with connection.transaction():
                await connection.executemany(BARE, places[first : first + PAGE])
        return len(places) / (time.perf_counter() - began)
    finally:
        await connection.close()


async def _run(engine: Engine) -> list[dict[str, Any]]:
    place = engine.fresh()
    stores = await open_stores(place.settings(PARTITIONS))
    try:
        await fill(stores)
        page, groups = await looked(stores.ledger)
        floor = await bare(place.ledger or place.engine)
        per_s = await redriven(stores)
    finally:
        await stores.close()
    return [
        _limit(f"{LETTERS:,} troubled events: first page of dead letters (ms)", page),
        _limit(f"{LETTERS:,} troubled events: by root cause (ms)", groups),
        {
            "what": f"redrive, letters/s, a commit every {PAGE}",
            "floor": floor,
            "measured": per_s,
            "ratio": per_s / floor,
            "target": None,
        },
    ]


def _limit(what: str, measured: float) -> dict[str, Any]:
    return {"what": what, "floor": None, "measured": measured, "ratio": None, "limit": None}


def run(engine: Engine) -> list[dict[str, Any]]:
    """Return the rows of the ledger's troubles."""
    tune_interpreter()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    return uvloop.run(_run(engine))


if __name__ == "__main__":
    with ENGINES[chosen()]() as chosen_engine:
        print(run(chosen_engine))
