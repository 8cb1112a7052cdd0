"""New flows while it runs: nothing settled is lost or comes again, and mistakes change nothing."""

from __future__ import annotations

import asyncio
from collections import Counter
from functools import partial
from pathlib import Path

import pytest

from busway import App, Event
from busway.app import Node
from busway.errors import FlowError, SinkError, StoreError
from busway.flow import compile_app
from busway.lane import Lane
from busway.ports import NewBatch, SinkContext, Stores
from busway.settings import NOT_LISTENING, Settings
from busway.sinks import jsonl, sqlite
from busway.testing import ManualClock, MemoryLedger, MemoryLog
from delivery_node import QUICK, event, rows, running, until
from listed_sink import Listed


def an_app(tmp_path: Path, *names: str) -> App:
    app = App("t")
    for name in names:
        to = sqlite(str(tmp_path / "out.db"), table=name, create=True)
        app.flow(name, to=to, steps=[lambda event: {"n": event.data["n"]}], start="beginning")
    return app


async def test_flows_come_and_go_under_load(tmp_path: Path) -> None:
    async with running(an_app(tmp_path, "a", "b"), tmp_path / "data") as busway:
        sent = 0
        stop = asyncio.Event()

        async def load() -> None:
            nonlocal sent
            while not stop.is_set():
                await busway.post(*[event(n) for n in range(sent, sent + 10)])
                sent += 10

        def reached(least: int) -> bool:
            return sent >= least

        task = asyncio.create_task(load())
        for names in (("a", "c"), ("a", "b", "c"), ("c",), ("a", "b", "c"), ("a", "b", "c", "d")):
            seen = sent
            await busway.node.change_program(compile_app(an_app(tmp_path, *names)))
            await until(partial(reached, seen + 50))
        stop.set()
        await task
        for name in "abcd":
            await busway.until(name, delivered=sent, backlog=0)
    for name in "abcd":
        found = Counter(rows(tmp_path / "out.db", f"SELECT n FROM {name}"))
        assert found == {(n,): 1 for n in range(sent)}, name


async def test_a_sink_that_cannot_work_leaves_the_flows_as_they_were(tmp_path: Path) -> None:
    async with running(an_app(tmp_path, "a"), tmp_path / "data") as busway:
        bad = App("t")
        bad.flow("a", to=sqlite(":memory:", table="a"))
        with pytest.raises(FlowError, match="give the path of a database file"):
            await busway.node.change_program(compile_app(bad))
        await busway.post(event(1))
        await busway.until("a", delivered=1)
        assert [flow.name for flow in busway.node.program.flows] == ["a"]


class Broken(Listed):
    """A sink with a bug."""

    async def open(self, supplies: SinkContext) -> Listed:
        raise RuntimeError("no driver")


async def test_a_sink_with_a_bug_leaves_the_flows_as_they_were(tmp_path: Path) -> None:
    async with running(an_app(tmp_path, "a"), tmp_path / "data") as busway:
        bad = App("t")
        bad.flow("a", to=Broken())
        with pytest.raises(SinkError, match="listed cannot be opened: RuntimeError: no driver"):
            await busway.node.change_program(compile_app(bad))
        await busway.post(event(1))
        await busway.until("a", delivered=1)


class Away(MemoryLedger):
    """A ledger that is out of reach for a while when lanes are opened."""

    refusals = 0

    async def open_lane(self, flow: str, partition: int, cursor: int) -> Lane:
        if self.refusals:
            self.refusals -= 1
            raise StoreError("no way there")
        return await super().open_lane(flow, partition, cursor)


async def test_a_change_waits_for_stores_that_are_away() -> None:
    clock, ledger, sinks = ManualClock(), Away(), [Listed("before"), Listed("after")]
    apps = [App("t"), App("t")]
    for app, sink in zip(apps, sinks, strict=True):
        app.flow("a", to=sink)
    stores = Stores(MemoryLog(1), ledger)
    node = Node(compile_app(apps[0]), Settings(port=NOT_LISTENING), stores, clock, role="work")
    await node.start()
    ledger.refusals = 3
    changing = asyncio.create_task(node.change_program(compile_app(apps[1])))
    while not changing.done():
        await clock.advance(0.1)
    await changing
    drafts = [NewBatch(0, [Event(type="t", source="/s").to_json()])]
    await stores.log.append(drafts, clock.now())
    while not any(sink.came for sink in sinks):
        await clock.advance(0.1)
    assert [len(sink.came) for sink in sinks] == [0, 1]
    await node.stop()


async def test_a_new_version_of_a_step_takes_over_what_is_parked(tmp_path: Path) -> None:
    def fails(event: Event) -> dict[str, int]:
        raise ValueError("a mistake in the code")

    def works(event: Event) -> dict[str, int]:
        return {"n": event.data["n"]}

    def version(step: object) -> App:
        app = App("t")
        patient = QUICK.__class__(first=0.05, factor=1.0, attempts=1000)
        app.flow("f", to=jsonl(str(tmp_path / "out.jsonl")), steps=[step], retry=patient)
        return app

    async with running(version(fails), tmp_path / "data") as busway:
        await busway.post(*[event(n) for n in range(5)])
        await busway.until("f", parked=5)
        before = (await busway.status("f")).version
        await busway.node.change_program(compile_app(version(works)))
        await busway.until("f", delivered=5, parked=0)
        assert (await busway.status("f")).version != before
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 5
