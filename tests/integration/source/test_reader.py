"""Readers in a whole Busway: what they read is there once, whatever goes wrong in between."""

from __future__ import annotations

from pathlib import Path

from busway import App, Event
from busway.control.alert.record import ALERT, decode
from busway.control.source.operation import pause_source, resume_source
from busway.control.source.reader import ReaderRecord, reader_records
from busway.control.source.record import SourceCounts, source_counts
from busway.errors import SourceGap
from busway.sinks import sqlite
from busway.sources import schedule
from delivery_node import Running, rows, running, until
from number_source import Numbers, away, numbers


def app_of(path: Path, *sources: object) -> App:
    app = App("shop")
    for source in sources:
        app.source(source)

    @app.flow(
        when={"type": ["number", "tick"]}, to=sqlite(str(path / "out.db"), "numbers", create=True)
    )
    def load(event: Event) -> dict[str, str]:
        return {"id": event.id}

    return app


def loaded(path: Path) -> list[str]:
    return [id for (id,) in rows(path / "out.db", "SELECT id FROM numbers")]


async def record(node: Running, name: str) -> ReaderRecord:
    return (await reader_records(node.stores.ledger)).get(name, ReaderRecord())


async def counts(node: Running, name: str) -> SourceCounts:
    return (await source_counts(node.stores.ledger)).get(name, SourceCounts())


async def read_up_to(node: Running, source: Numbers) -> None:
    """Return once the position of a source is its end, and nothing is uncertain."""
    end = b"%d" % source.feed.end

    async def saved() -> bool:
        found = await record(node, source.name)
        return (found.position, found.intent) == (end, None)

    await until(saved, "the position is saved")


async def test_what_is_read_is_delivered_and_the_position_saved(tmp_path: Path) -> None:
    source = numbers("a")
    async with running(app_of(tmp_path, source), tmp_path / "data") as node:
        source.feed.put(95)
        await read_up_to(node, source)
        await node.until("load", delivered=95)
        assert (await counts(node, "a")).accepted == 95
        assert source.feed.acknowledged == [*range(10, 91, 10), 95]
    assert source.feed.closed == 1
    async with running(app_of(tmp_path, source), tmp_path / "data") as node:
        source.feed.put(5)
        await node.until("load", delivered=100)
        await read_up_to(node, source)
    assert source.feed.opened == [0, 95]
    assert len(set(loaded(tmp_path))) == len(loaded(tmp_path)) == 100


async def test_a_source_that_fails_is_opened_again_and_stops_no_other(tmp_path: Path) -> None:
    bad, good = numbers("bad"), numbers("good")
    async with running(app_of(tmp_path, bad, good), tmp_path / "data") as node:
        bad.feed.put(10)
        await read_up_to(node, bad)
        bad.feed.fail(away())

        async def failing() -> bool:
            fault = (await record(node, "bad")).fault
            return fault is not None and fault.failures > 2

        await until(failing, "the failures are counted")
        fault = (await record(node, "bad")).fault
        assert fault is not None
        assert (fault.error, fault.text, fault.gap) == (
            "SourceError",
            "the numbers are away",
            False,
        )
        good.feed.put(10)
        await node.until("load", delivered=20)
        bad.feed.fail(None)
        bad.feed.put(10)
        await node.until("load", delivered=30)
        await read_up_to(node, bad)
        assert (await record(node, "bad")).fault is None


async def test_a_gap_stops_a_source_until_an_operator_skips_it(tmp_path: Path) -> None:
    source = numbers("gap")
    async with running(app_of(tmp_path, source), tmp_path / "data") as node:
        source.feed.put(10)
        await read_up_to(node, source)
        source.feed.fail(SourceGap("numbers 10 to 14 are gone", b"15"))

        async def stopped() -> bool:
            fault = (await record(node, "gap")).fault
            return fault is not None and fault.gap

        await until(stopped, "it stops")
        source.feed.fail(None)
        source.feed.put(10)

        async def stuck() -> bool:
            return "reader/gap" in node.node.stuck_loops.records

        await until(stuck, "it is told that it is stuck")

        async def alerted() -> bool:
            values = await node.stores.ledger.get_values(ALERT)
            return any(
                "numbers 10 to 14 are gone" in one.text for one in map(decode, values.values())
            )

        await until(alerted, "an alert is raised")
        assert source.feed.opened == [0]
        assert (await record(node, "gap")).position == b"10"
        await resume_source(node.node.control, "gap", "ann", skip_gap=True)
        await node.until("load", delivered=15)
        await read_up_to(node, source)
        assert source.feed.opened == [0, 15]
        assert "reader/gap" not in node.node.stuck_loops.records


async def test_a_paused_source_is_not_read(tmp_path: Path) -> None:
    source, other = numbers("a"), numbers("b")
    async with running(app_of(tmp_path, source, other), tmp_path / "data") as node:
        source.feed.put(10)
        await read_up_to(node, source)
        await pause_source(node.node.control, "a", "ann")
        await until(lambda: source.feed.closed == 1, "it is closed")
        source.feed.put(10)
        other.feed.put(10)
        await read_up_to(node, other)
        assert (await record(node, "a")).position == b"10"
        await resume_source(node.node.control, "a", "ann")
        await read_up_to(node, source)
        assert source.feed.opened == [0, 10]


async def test_ticks_come(tmp_path: Path) -> None:
    source = schedule("often", type="tick", every="1s")
    async with running(app_of(tmp_path, source), tmp_path / "data") as node:

        async def some() -> bool:
            return (await counts(node, "often")).accepted >= 2

        await until(some)
        assert (await record(node, "often")).next_at is not None
    ids = loaded(tmp_path)
    assert ids == sorted(set(ids))
