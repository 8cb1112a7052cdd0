"""An intake in a process of its own, for the benchmarks: storing nothing, or into SQLite."""

from __future__ import annotations

import argparse
import asyncio
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import uvloop

from busway.bus.group_commit import Appender
from busway.clock import SystemClock
from busway.engine.registry import open_stores
from busway.ports import AppendEnvelope, AppendReceipt, Intake
from busway.runtime.process.interpreter import tune_interpreter
from busway.settings import Settings
from busway.source.http import IntakeConfig, IntakeServer
from busway.source.mount import EventsOnly, mounted

EVENTS = mounted(EventsOnly(), Settings().max_event_bytes)


class Nowhere:
    """Takes events and keeps none: the floor."""

    def append(
        self, raws: Sequence[bytes], envelopes: Sequence[AppendEnvelope]
    ) -> asyncio.Future[AppendReceipt]:
        future: asyncio.Future[AppendReceipt] = asyncio.get_running_loop().create_future()
        future.set_result(AppendReceipt(len(raws), 0))
        return future


async def serve(intake: Intake) -> None:
    """Serve until told to stop; the port is printed."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    server = IntakeServer(IntakeConfig(intake=intake, port=0, sources=EVENTS))
    print(await server.start(), flush=True)
    await stop.wait()
    await server.close()


async def serve_sqlite(data: Path) -> None:
    """Serve an intake that is durable before it says 202."""
    stores = await open_stores(Settings(data=data))
    appender = Appender(stores.log, SystemClock(), window_s=600.0)
    running = asyncio.create_task(appender.run())
    upkeep = asyncio.create_task(_maintain(stores.log))
    await serve(appender)
    upkeep.cancel()
    appender.close()
    await running
    await stores.close()


async def _maintain(log: Any) -> None:
    while True:
        await asyncio.sleep(1.0)
        await log.maintain()


def main() -> None:
    options: Any = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--data", type=Path, help="the data directory; without one, no storing")
    given = options.parse_args()
    tune_interpreter()
    uvloop.run(serve_sqlite(given.data) if given.data else serve(Nowhere()))


if __name__ == "__main__":
    main()
