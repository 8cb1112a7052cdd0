"""A failover that lost the last events: what has their offsets then is not taken for them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import asyncpg

from busway import App, Event
from busway.clock import SystemClock
from busway.engine.postgres import PostgresLedger, PostgresLog
from busway.engine.postgres.database import Database
from busway.engine.postgres.schema import SCHEMA, migrate
from busway.errors import StoreError
from busway.flow import compile_app
from busway.outcome import Outcome
from busway.ports import Load, LogBatch, NewBatch
from busway.runtime.context import Context
from busway.runtime.due_retry import DueRetries
from busway.runtime.observe.observer import TelemetryObserver
from busway.runtime.observe.settlement_log import SettlementLog
from busway.runtime.observe.state_recorder import StateRecorder
from busway.runtime.worker.flow_runner import FlowRunner, create_log_reader
from busway.telemetry import Metrics
from delivery_node import until
from listed_sink import Listed, NoBus
from postgres_server import PostgresServer, postgres_server, standby_of

AT = datetime(2030, 1, 1, tzinfo=UTC)
BEHIND = """
    SELECT count(*) FROM pg_stat_replication WHERE replay_lsn = pg_current_wal_lsn()
"""


class Pair:
    """A primary, and a standby that nobody waits for."""

    def __init__(self, primary: PostgresServer, standby: PostgresServer) -> None:
        self._primary = primary
        self._standby = standby
        ports = f"127.0.0.1:{primary.port},127.0.0.1:{standby.port}"
        self.url = f"postgresql://postgres@{ports}/postgres"

    async def leave_behind(self) -> None:
        """Return once the standby has all, and gets no more."""
        connection = await asyncpg.connect(self._primary.dsn)

        async def same() -> bool:
            return bool(await connection.fetchval(BEHIND))

        await until(same)
        await connection.close()
        await asyncio.to_thread(self._standby.stop, immediate=True)

    async def fail_over(self) -> None:
        await asyncio.to_thread(self._primary.stop, immediate=True)
        await asyncio.to_thread(self._standby.start)
        await asyncio.to_thread(self._standby.promote)


@asynccontextmanager
async def pair() -> AsyncIterator[Pair]:
    with postgres_server() as primary, standby_of(primary) as standby:
        found = Pair(primary, standby)
        await migrate(found.url, SCHEMA, 1)
        yield found


@asynccontextmanager
async def log_of(pair: Pair) -> AsyncIterator[tuple[Database, PostgresLog]]:
    database = await Database.open(pair.url, SCHEMA)
    log = await PostgresLog.open(database, "log")
    yield database, log
    await log.close()
    await database.close()


def one(id: str) -> bytes:
    return Event(type="t", source="/s", id=id).to_json()


def ids(batches: list[LogBatch]) -> list[str]:
    return [Event.from_json(raw).id for batch in batches for raw in batch.events]


async def test_a_new_generation_clears_the_caches() -> None:
    async with pair() as servers, log_of(servers) as (_, log):
        app = App("shop")
        app.flow("f", to=Listed())
        follow = create_log_reader(compile_app(app), log)
        await log.append([NewBatch(0, [one("kept")])], AT)
        await servers.leave_behind()
        await log.append([NewBatch(0, [one("lost")])], AT)
        assert ids([found.batch for found in await follow.read(0, 1, 100)]) == ["lost"]
        await servers.fail_over()
        async with log_of(servers) as (_, other):
            await other.append([NewBatch(0, [one("new")])], AT)
        await until(lambda: knows(log))
        assert ids(list(await log.read(0, 1, 100))) == ["new"]
        assert ids([found.batch for found in await follow.read(0, 1, 100)]) == ["new"]


async def knows(log: PostgresLog) -> bool:
    """Look where the log ends; say whether that is known."""
    try:
        await log.bounds(0)
    except StoreError:
        return False
    return True


class Holding(Listed):
    """A sink that keeps one event for as long as it is told to."""

    def __init__(self, id: str) -> None:
        super().__init__("holding")
        self._id = id
        self.holds = asyncio.Event()
        self.released = asyncio.Event()

    async def write(self, load: Load) -> Sequence[Outcome]:
        found = await super().write(load)
        if self._id in self.came and not self.released.is_set():
            self.holds.set()
            await self.released.wait()
        return found


async def test_a_lane_does_not_settle_events_that_replaced_its_batch() -> None:
    async with pair() as servers, log_of(servers) as (database, log):
        sink, clock, metrics = Holding("lost"), SystemClock(), Metrics()
        app = App("shop")
        app.flow("f", to=sink)
        program, ledger = compile_app(app), PostgresLedger(database)
        observer, dues = TelemetryObserver(metrics, SettlementLog(clock)), DueRetries(ledger, clock)
        hub = Context(create_log_reader(program, log), ledger, clock, log.identity, observer, dues)
        crew = FlowRunner(program, hub, log, StateRecorder(ledger, clock, metrics))
        await crew.start(NoBus())
        await log.append([NewBatch(0, [one("kept")])], AT)

        async def settled() -> bool:
            (lane,) = await ledger.lanes()
            return lane.cursor == (await log.bounds(0))[1]

        await until(settled)
        await servers.leave_behind()
        await log.append([NewBatch(0, [one("lost")])], AT)
        await sink.holds.wait()
        await servers.fail_over()
        async with log_of(servers) as (_, other):
            await other.append([NewBatch(0, [one("new")])], AT)
        sink.released.set()
        await until(lambda: "new" in sink.came)
        await until(settled)
        (lane,) = await ledger.lanes()
        assert lane.counts.delivered == 2, "the kept one and the new one"
        await crew.stop(10.0)
        await ledger.close()
