"""What happens in the demo, and what is measured meanwhile."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import aiohttp

import verdict
from crm import Crm
from display import Bar, Display
from figures import Figures, Outage
from orders import Plan
from post import BATCH, Post
from rows import Rows
from server import Server, is_open, outcomes

SINGLES = 1_000
REPEATED = 3 * BATCH
DOWN_S = 2.0
ROWS_S = 60.0
"""How long rows of single events are waited for."""
FLOWS = {"orders": "to SQLite", "archive": "to a file", "big_orders": "to the CRM over HTTP"}


class Play:
    """One run of the demo. Times are seconds of ``time.perf_counter``."""

    def __init__(self, plan: Plan, display: Display, session: aiohttp.ClientSession) -> None:
        self.plan = plan
        self.crm = Crm(len(plan.big) // 3)
        self.answered_s: list[float] = []
        self.landed_s: list[float] = []
        self.batches_s = self.settled_s = 0.0
        self.outage = Outage(0.0, 0, 0.0)
        self.back_at = 0.0
        self.flows: list[dict[str, Any]] = []
        self._display = display
        self._session = session
        self._settled: dict[str, int] = dict.fromkeys(FLOWS, 0)
        self._breaker_open = asyncio.Event()
        self._posted = False

    async def run(self, server: Server, folder: Path) -> list[verdict.Answer]:
        """Play it all, and return what was found true or not."""
        post = Post(self._session, server.url)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._produce(post, folder / "shop.db"))
            group.create_task(self._outage(post))
            group.create_task(self._watch(server, post))
        self._display.say("everything is settled; now the demo looks whether it is true")
        return await self._answers(server, post, folder)

    async def _produce(self, post: Post, table: Path) -> None:
        events = self.plan.events
        await self._singles(post, table)
        began = time.perf_counter()
        await post.batches(events[SINGLES:])
        self.batches_s = time.perf_counter() - began
        await post.batches(events[-REPEATED:])
        self._display.say(f"all are posted, the last {REPEATED:,} twice, as after a lost answer")
        self._posted = True

    async def _singles(self, post: Post, table: Path) -> None:
        """Post single events; measure when they are answered, and when their rows are there."""
        rows = Rows(table, self.plan.rows & set(range(SINGLES)))
        rows.start()
        times = await post.singles(self.plan.events[:SINGLES])
        self.answered_s = [answered - began for began, answered in times.values()]
        await asyncio.to_thread(rows.finish, ROWS_S)
        self.landed_s = [
            seen - times[self.plan.events[number]][0] for number, seen in rows.seen.items()
        ]

    async def _outage(self, post: Post) -> None:
        await self.crm.part_done.wait()
        began = time.perf_counter()
        await self.crm.stop()
        self._display.say("[red]the CRM went down[/]; the other flows go on")
        await asyncio.sleep(DOWN_S)
        await self._breaker_open.wait()
        waited = post.accepted - self._settled["big_orders"]
        await self.crm.start()
        self.back_at = time.perf_counter()
        self.outage = Outage(self.back_at - began, waited, 0.0)
        self._display.say(f"[green]the CRM is back[/]; {waited:,} events have waited for it")

    async def _watch(self, server: Server, post: Post) -> None:
        """Show the server's own metrics until every flow has settled every event."""
        began = time.perf_counter()
        total = len(self.plan.events)
        while not self._posted or min(self._settled.values()) < total:
            await asyncio.sleep(0.1)
            server.check_alive()
            async with self._session.get(f"{server.url}/metrics") as answer:
                metrics = await answer.text()
            if is_open(metrics):
                self._breaker_open.set()
            for flow, found in outcomes(metrics).items():
                self._settled[flow] = sum(found.values())
            if not self.settled_s and self._settled["orders"] == self._settled["archive"] == total:
                self.settled_s = time.perf_counter() - began
            self._show(post)
        caught_up_s = time.perf_counter() - self.back_at
        self.outage = self.outage._replace(caught_up_s=caught_up_s)

    def figures(self, answers: list[verdict.Answer]) -> Figures:
        """Return what was measured, once all is over."""
        return Figures(
            events=len(self.plan.events),
            settled_s=self.settled_s,
            batched=len(self.plan.events) - SINGLES,
            batches_s=self.batches_s,
            answered_s=self.answered_s,
            landed_s=self.landed_s,
            outage=self.outage,
            twice=sum(answer.twice for answer in answers),
            repeated=REPEATED,
        )

    def _show(self, post: Post) -> None:
        total = len(self.plan.events)
        bars = [Bar("accepted", post.accepted, total, "over HTTP, durable")]
        bars += [Bar(flow, self._settled[flow], total, FLOWS[flow]) for flow in FLOWS]
        down = "" if self.crm.up else ", which is down: its breaker is open"
        bars[-1] = bars[-1]._replace(note=FLOWS["big_orders"] + down)
        self._display.show(bars)

    async def _answers(self, server: Server, post: Post, folder: Path) -> list[verdict.Answer]:
        self.flows = await self._at_rest(server)
        return [
            verdict.intake(self.plan, post, REPEATED),
            verdict.conservation(self.plan, self.flows, await server.ask("check")),
            verdict.counts(self.plan, self.flows),
            verdict.table(self.plan, folder / "shop.db"),
            verdict.archive(self.plan, folder / "archive.jsonl"),
            verdict.crm(self.plan, self.crm),
            verdict.dead(self.plan, (await server.ask("dead", "list"))[1]["items"]),
        ]

    async def _at_rest(self, server: Server) -> list[dict[str, Any]]:
        """Return the status of each flow once no event waits, for its first attempt or another."""
        while True:
            flows: list[dict[str, Any]] = (await server.ask("status"))[1]["flows"]
            if not any(flow["backlog"] or flow["parked"] for flow in flows):
                return flows
