"""Settlements whose answers are lost, of several lanes at once: nothing goes a second time."""

from __future__ import annotations

import asyncpg

from busway import App, Event
from busway.clock import SystemClock
from busway.engine.postgres import PostgresLedger
from busway.engine.postgres.database import Database
from busway.engine.postgres.schema import SCHEMA, migrate
from busway.flow import compile_app
from busway.lane import Counts
from busway.ports import NewBatch
from busway.runtime.context import Context
from busway.runtime.due_retry import DueRetries
from busway.runtime.observe.observer import TelemetryObserver
from busway.runtime.observe.settlement_log import SettlementLog
from busway.runtime.observe.state_recorder import StateRecorder
from busway.runtime.worker.flow_runner import FlowRunner, create_log_reader
from busway.telemetry import Metrics
from busway.testing import MemoryLog
from delivery_node import until
from listed_sink import Listed, NoBus
from nats_proxy import proxy_to
from postgres_server import PostgresServer

FLOWS = 12
CURSORS = "SELECT count(*) FROM busway.lane WHERE cursor = $1"


async def test_a_settlement_whose_reply_is_lost_is_not_applied_twice(
    server: PostgresServer,
) -> None:
    url, clock, log, metrics = await server.fresh_database(), SystemClock(), MemoryLog(1), Metrics()
    await migrate(url, SCHEMA, 1)
    direct = await asyncpg.connect(url)
    app, sinks = App("shop"), [Listed(f"counted {number}") for number in range(FLOWS)]
    for number, sink in enumerate(sinks):
        app.flow(f"f{number}", to=sink)
    program = compile_app(app)

    async def come(*ids: str) -> None:
        events = [Event(type="t", source="/s", id=id).to_json() for id in ids]
        await log.append([NewBatch(0, events)], clock.now())

    async def all_at(cursor: int) -> bool:
        return bool(await direct.fetchval(CURSORS, cursor) == FLOWS)

    async with proxy_to(server.port) as proxy:
        there = url.replace(f":{server.port}/", f":{proxy.port}/")
        database = await Database.open(there, SCHEMA)
        ledger = PostgresLedger(database)
        observer, dues = TelemetryObserver(metrics, SettlementLog(clock)), DueRetries(ledger, clock)
        hub = Context(create_log_reader(program, log), ledger, clock, log.identity, observer, dues)
        crew = FlowRunner(program, hub, log, StateRecorder(ledger, clock, metrics))
        await crew.start(NoBus())
        await come("a", "b")
        await until(lambda: all_at(2))
        await until(lambda: all(len(sink.came) == 2 for sink in sinks))
        proxy.mute()
        await come("c")
        await until(lambda: all(len(sink.came) == 3 for sink in sinks))
        await come("d")
        proxy.cut()
        await proxy.release()
        await until(lambda: all_at(4))
        await crew.stop(10.0)
        assert [sink.came for sink in sinks] == [["a", "b", "c", "d"]] * FLOWS
        assert [one.counts for one in await ledger.lanes()] == [Counts(delivered=4)] * FLOWS
        await ledger.close()
        proxy.cut()  # it does not tell the client that the server has hung up
        await database.close()
    await direct.close()
