"""A whole Busway in the test's own process, on real stores, with real HTTP in front."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, closing
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp
import apsw
import msgspec

from busway.app import Node
from busway.clock import Clock, SystemClock
from busway.control.conservation_check import check_conservation
from busway.control.flow.status import FlowStatus, flow_statuses
from busway.delivery.backoff import Backoff
from busway.engine.registry import open_stores
from busway.failed_event import FailedEvent, FailedEventQuery
from busway.flow import App, compile_app
from busway.ports import Stores
from busway.settings import Settings
from proof import PROOF, TOKEN
from service import next_look_s

DEADLINE_S = 60.0
QUICK = Backoff(first=0.02, factor=1.0, cap=0.1, attempts=3)


async def until(condition: Callable[[], Awaitable[bool] | bool], what: str = "it") -> None:
    """Return once a condition holds; fails after the deadline."""
    began = time.monotonic()
    while True:
        found = condition()
        if found is True or (not isinstance(found, bool) and await found):
            return
        waited_s = time.monotonic() - began
        assert waited_s < DEADLINE_S, f"{what} did not come true"
        await asyncio.sleep(next_look_s(waited_s))


def event(number: int, key: str | None = None, **more: Any) -> dict[str, Any]:
    """Return the JSON object of a small event."""
    found = {"specversion": "1.0", "id": f"e{number}", "source": "/test", "type": "made"}
    found |= {"data": {"n": number} | more.pop("data", {})}
    return found | ({} if key is None else {"partitionkey": key}) | more


class Shifted(SystemClock):
    """The machine's clock, put to another time of day."""

    def __init__(self, start: datetime) -> None:
        self.by = start - super().now()

    def now(self) -> datetime:
        return super().now() + self.by

    def put(self, at: datetime) -> None:
        """Make it a time."""
        self.by += at - self.now()


class Running:
    """A node that runs, and what a test asks of it."""

    def __init__(self, node: Node, stores: Stores, session: aiohttp.ClientSession) -> None:
        self.node = node
        self.stores = stores
        self.session = session

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.node.port}/events"

    async def send(self, *events: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Post events as NDJSON; return the status and the answer."""
        body = b"\n".join(msgspec.json.encode(one) for one in events)
        headers = {"Content-Type": "application/x-ndjson"}
        async with self.session.post(self.url, data=body, headers=headers) as answer:
            return answer.status, msgspec.json.decode(await answer.read())

    async def post(self, *events: dict[str, Any]) -> None:
        """Post events that are accepted."""
        status, answer = await self.send(*events)
        assert status == 202, answer

    async def status(self, flow: str) -> FlowStatus:
        statuses = await flow_statuses(self.stores.log, self.stores.ledger)
        return next(one for one in statuses if one.name == flow)

    async def until(self, flow: str, **wanted: Any) -> FlowStatus:
        """Wait until the flow's status has these values."""
        seen: list[FlowStatus] = []

        async def reached() -> bool:
            seen[:] = [await self.status(flow)]
            return all(getattr(seen[0], name) == value for name, value in wanted.items())

        try:
            await until(reached)
        except AssertionError:
            raise AssertionError(f"wanted {wanted}, but it is {seen}") from None
        return seen[0]

    async def troubles(self, flow: str, **query: Any) -> Sequence[FailedEvent]:
        return await self.stores.ledger.failed_events(FailedEventQuery(flow=flow, **query))

    async def check(self) -> None:
        """Check that every event is in exactly one place."""
        assert await check_conservation(self.stores.log, self.stores.ledger) == []


@asynccontextmanager
async def running(
    app: App, data: Path, clock: Clock | None = None, **settings: Any
) -> AsyncIterator[Running]:
    """Run an app; in the end it stops in good order, and all adds up."""
    given: dict[str, Any] = {"partitions": 2, "port": 0, "drain_s": 5.0, "api_token": TOKEN}
    given |= settings
    chosen = Settings(data=data, **given)
    stores = await open_stores(chosen)
    node = Node(compile_app(app), chosen, stores, clock)
    try:
        await node.start()
        async with aiohttp.ClientSession(headers=PROOF) as session:
            found = Running(node, stores, session)
            yield found
            await found.check()
    finally:
        await node.stop()


def rows(database: Path, query: str) -> list[Any]:
    """Return what a query finds in a SQLite database."""
    with closing(apsw.Connection(str(database))) as connection:
        return connection.execute(query).fetchall()
