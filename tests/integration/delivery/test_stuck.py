"""What fails again and again is to be seen, where it is a whole flow's trouble or one event's."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import msgspec

from busway import App, Event
from busway.app import Node
from busway.audit_record import AuditRecord
from busway.control.alert.record import alert_statuses
from busway.failed_event import Resolution
from busway.flow import compile_app
from busway.named_value import ValueChange
from busway.outcome import Outcome
from busway.ports import Load, Stores
from busway.settings import Settings
from busway.settlement import Settlement
from busway.testing.memory_ledger import MemoryLedger
from busway.testing.memory_log import MemoryLog
from delivery_node import QUICK, Running, event, running, until
from listed_sink import Listed
from proof import PROOF, TOKEN


class Picky(Listed):
    """Has a defect: raises where a load has a certain event."""

    async def write(self, load: Load) -> Sequence[Outcome]:
        if any(item.event.id == "e3" for item in load.items):
            raise KeyError("e3")
        return await super().write(load)


async def test_a_sink_that_raises_over_one_event_delivers_the_others(tmp_path: Path) -> None:
    sink, app = Picky(), App("t")
    app.flow("f", to=sink, retry=QUICK)
    async with running(app, tmp_path) as busway:
        await busway.post(*(event(n) for n in range(6)))
        await busway.until("f", delivered=5, dead=1, backlog=0)
        (dead,) = await busway.troubles("f")
        assert (dead.event_id, dead.error) == ("e3", "KeyError")
    assert sorted(sink.came) == ["e0", "e1", "e2", "e4", "e5"]


class Broken(MemoryLedger):
    """Cannot settle what a flow has delivered, as long as it is broken."""

    broken = True

    async def settle(
        self, settlements: Sequence[Settlement], changes: Sequence[ValueChange] = ()
    ) -> Sequence[bool]:
        if self.broken and any(one.flow == "f" and one.counts.delivered for one in settlements):
            raise LookupError("no such thing")
        return await super().settle(settlements, changes)


class Odd(MemoryLedger):
    """Has a defect: cannot note that a certain event was delivered after it was parked."""

    async def resolve(
        self,
        resolutions: Sequence[Resolution],
        audit: Sequence[AuditRecord] = (),
        changes: Sequence[ValueChange] = (),
    ) -> Sequence[bool]:
        if any(one.outcome == "delivered" and one.offset == 3 for one in resolutions):
            raise LookupError("no such thing")
        return await super().resolve(resolutions, audit, changes)


@asynccontextmanager
async def on(ledger: MemoryLedger, app: App) -> AsyncIterator[Running]:
    stores, settings = Stores(MemoryLog(1), ledger), Settings(port=0, api_token=TOKEN)
    node = Node(compile_app(app), settings, stores)
    try:
        await node.start()
        async with aiohttp.ClientSession(headers=PROOF) as session:
            yield Running(node, stores, session)
    finally:
        await node.stop()


async def test_a_lane_that_cannot_settle_is_seen_everywhere() -> None:
    ledger = Broken()
    app = App("t")
    app.flow("f", to=Listed("one"))
    app.flow("g", to=Listed("two"))
    async with on(ledger, app) as busway:
        url = f"http://127.0.0.1:{busway.node.port}"

        async def text(path: str) -> str:
            async with busway.session.get(url + path) as answer:
                assert answer.status == 200
                return await answer.text()

        await busway.post(event(1))
        await busway.until("f", state="stuck")
        await busway.until("g", state="running", delivered=1)
        overview = msgspec.json.decode(await text("/api/v1/status"))
        assert [one["flow"] for one in overview["stuck"]] == ["f"]
        assert "LookupError: no such thing" in (await busway.status("f")).state_reason

        async def says(path: str, wanted: str) -> bool:
            return wanted in await text(path)

        await until(lambda: says("/readyz", "flow f is stuck: f/0 cannot go on: LookupError"))
        await until(lambda: says("/metrics", 'busway_loop_stuck{loop="f/0"} 1.0'))

        async def alerts() -> list[str]:
            return [one.name for one in await alert_statuses(busway.stores.ledger)]

        async def raised() -> bool:
            return await alerts() == ["stuck:f"]

        await until(raised)
        ledger.broken = False
        await busway.until("f", state="running", backlog=0)

        async def cleared() -> bool:
            return await alerts() == [] and await text("/readyz") == "ready\n"

        await until(cleared)


async def test_a_retry_that_raises_over_one_event_delivers_the_others() -> None:
    app = App("t")

    @app.flow(to=Listed(), retry=QUICK)
    def f(event: Event) -> Event | None:
        if event.attempt == 1:
            raise ValueError("at first")
        return event

    async with on(Odd(), app) as busway:
        await busway.post(*(event(n) for n in range(6)))
        await busway.until("f", delivered=5, dead=1, parked=0)
        (dead,) = await busway.troubles("f")
        assert (dead.event_id, dead.error) == ("e3", "LookupError")
