"""A session with a source: intent, append, position, and what the next one makes of them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from busway import Event
from busway.errors import SourceError, SourceGap
from busway.ports import RecordRefusal, SourceChunk
from busway.runtime.reader.reader_record import ReaderTaken
from busway.runtime.reader.session import (
    MAX_CODES,
    MAX_TEXT_CHARACTERS,
    MOST_SOURCES,
    QUIET_S,
    SAVE_EVERY_S,
)
from number_source import Numbers, Reading, numbers
from reader_host import Installation, opened, read_one


async def test_the_position_is_saved_when_it_is_quiet() -> None:
    site, source = Installation(), numbers("a")
    source.feed.put(10)
    async with site.process() as host:
        session = await opened(source, host)
        await read_one(session)
        record = await site.record("a")
        assert record.position is None
        assert record.intent is not None
        assert record.intent.ends == (0, 0)
        assert record.intent.sources == ("/numbers/a",)
        assert session.wait_s() == QUIET_S
        await site.clock.advance(QUIET_S)
        await session.advance()
        record = await site.record("a")
        assert (record.position, record.intent, record.worker) == (b"10", None, "w")
        assert session.wait_s() is None
        await session.release()


async def test_the_position_of_a_busy_source_is_saved_every_second() -> None:
    site, source = Installation(), numbers("a")
    source.feed.put(1_000)
    saved: list[bytes | None] = []
    async with site.process() as host:
        session = await opened(source, host)
        for _ in range(50):
            await read_one(session)
            await site.clock.advance(0.05)
            position = (await site.record("a")).position
            saved += [position] * (position not in saved)
        assert len(saved) == 3, "none, and two saves in 2.5 seconds"
        record = await site.record("a")
        assert record.intent is not None
        assert sum(record.intent.ends) == int(record.position or 0)
        await session.close()
    assert (await site.record("a")).position == b"500"
    assert (await site.record("a")).intent is None
    assert SAVE_EVERY_S == 1.0


async def test_what_was_appended_and_not_saved_is_not_appended_again() -> None:
    site, source = Installation(), numbers("a")
    source.feed.put(25)
    async with site.process() as host:
        session = await opened(source, host)
        await read_one(session)
        await read_one(session)
        await session.release()
    source.feed.per_chunk = 7
    for _ in range(3):  # whoever reads on dies as well, and has saved nothing, or a part
        async with site.process() as host:
            session = await opened(source, host)
            assert source.feed.opened[-1] == int((await site.record("a")).position or 0)
            await read_one(session)
            await site.clock.advance(SAVE_EVERY_S)
            await session.advance()
            await session.release()
    async with site.process() as host:
        session = await opened(source, host)
        while int((await site.record("a")).position or 0) < 25:
            await read_one(session)
            await site.clock.advance(SAVE_EVERY_S)
            await session.advance()
        await session.close()
    assert sorted(await site.logged()) == sorted(f"a-{n}" for n in range(25))
    counts = await site.counts("a")
    assert (counts.accepted, counts.duplicates) == (25, 0)
    assert (await site.record("a")).intent is None


async def test_nothing_new_is_not_saved() -> None:
    site, source = Installation(), Odd("odd")
    async with site.process() as host:
        session = await opened(source, host)
        await read_one(session)
        await session.close()
        saved = (await site.record("odd")).saved_at
        session = await opened(source, host)
        await site.clock.advance(1.0)
        await read_one(session)
        await session.close()
    assert (await site.record("odd")).saved_at == saved


async def test_who_was_replaced_saves_nothing_and_appends_nothing() -> None:
    site, source = Installation(), numbers("a")
    source.feed.put(30)
    async with site.process("old") as old, site.process("new") as new:
        first = await opened(source, old)
        await read_one(first)
        second = await opened(source, new)
        await site.clock.advance(QUIET_S)
        with pytest.raises(ReaderTaken):
            await first.advance()
        await first.release()
        await read_one(second)
        await second.close()
    assert sorted(await site.logged()) == sorted(f"a-{n}" for n in range(10))
    record = await site.record("a")
    assert (record.worker, record.position) == ("new", b"10")


async def test_who_lost_the_lease_does_not_append_what_it_has_read() -> None:
    site, source = Installation(), numbers("a")
    source.feed.put(10)
    async with site.process() as host:
        session = await opened(source, host, lambda: False)
        with pytest.raises(ReaderTaken):
            await read_one(session)
        await session.release()
    assert await site.logged() == []


async def test_what_is_no_event_is_counted_by_reason() -> None:
    site, source = Installation(), numbers("a")
    source.feed.put(1)
    source.feed.refused = (
        RecordRefusal("bad-line", "line 3 is no JSON", 2),
        RecordRefusal("bad-line", "line 9 is no JSON"),
        RecordRefusal("too-old", "line 11"),
    )
    async with site.process() as host:
        session = await opened(source, host)
        with capture_logs() as logs:
            await read_one(session)
        await session.close()
    counts = await site.counts("a")
    assert counts.refused == {"bad-line": 3, "too-old": 1}
    assert counts.accepted == 1
    assert counts.last_refusal is not None
    assert (counts.last_refusal.code, counts.last_refusal.text) == ("too-old", "line 11")
    (line,) = [line for line in logs if line["event"] == "records refused"]
    assert (line["source"], line["records"]) == ("a", 4)


async def test_codes_beyond_what_is_counted_one_by_one_count_as_other() -> None:
    site, source = Installation(), numbers("a")
    source.feed.put(1)
    source.feed.refused = tuple(
        RecordRefusal(f"c{n}", "x" * 2 * MAX_TEXT_CHARACTERS) for n in range(MAX_CODES + 3)
    )
    async with site.process() as host:
        session = await opened(source, host)
        await read_one(session)
        await session.close()
    counts = await site.counts("a")
    assert len(counts.refused) == MAX_CODES + 1
    assert counts.refused["other"] == 3
    assert counts.last_refusal is not None
    assert len(counts.last_refusal.text) == MAX_TEXT_CHARACTERS


class Odd(Numbers, frozen=True):
    """Reads one chunk of events that are given."""

    events: tuple[Event, ...] = ()

    async def open(self, context: object, position: bytes | None) -> OddReading:
        return OddReading(self, 0)


class OddReading(Reading):
    async def read(self) -> SourceChunk:
        assert isinstance(self._source, Odd)
        if self._next:
            await asyncio.Event().wait()
        self._next = 1
        return SourceChunk(self._source.events, b"1")


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"type": "busway.alert.raised"}, "Busway's own"),
        ({"source": "/busway/alerts"}, "Busway's own"),
        ({"id": "x" * 2000}, "at most 1024"),
        ({"data": "x" * 10_000}, "at most 10000"),
    ],
)
async def test_events_that_the_bus_does_not_accept_are_refused_alone(
    wrong: dict[str, str], reason: str
) -> None:
    good = Event(type="t", source="/s", id="good")
    source = Odd("odd", (Event(**{"type": "t", "source": "/s", **wrong}), good))
    site = Installation()
    async with site.process() as host:
        session = await opened(source, host)
        await read_one(session)
        await session.close()
    assert await site.logged() == ["good"]
    counts = await site.counts("odd")
    assert counts.refused == {"invalid-event": 1}
    assert counts.last_refusal is not None
    assert reason in counts.last_refusal.text


async def test_an_intent_of_many_sources_stands_for_any() -> None:
    events = tuple(Event(type="t", source=f"/s/{n}", id=str(n)) for n in range(MOST_SOURCES + 1))
    site = Installation()
    source = Odd("odd", events)
    async with site.process() as host:
        session = await opened(source, host)
        await read_one(session)
        intent = (await site.record("odd")).intent
        assert intent is not None
        assert intent.sources == ()
        await session.release()
    async with site.process() as host:
        session = await opened(source, host)
        await read_one(session)
        await session.close()
    assert len(await site.logged()) == len(events)


async def test_a_log_that_is_trimmed_beyond_the_intent_is_told() -> None:
    site, source = Installation(1), numbers("a")
    source.feed.put(10)
    async with site.process() as host:
        session = await opened(source, host)
        await read_one(session)
        await session.release()
    assert await site.stores.log.trim(0, 10) == 10
    async with site.process() as host:
        with capture_logs() as logs:
            session = await opened(source, host)
        await session.release()
    (line,) = [line for line in logs if "trimmed" in line["event"]]
    assert (line["source"], line["events"]) == ("a", 10)


async def test_a_gap_is_kept_and_the_source_is_not_opened_again() -> None:
    site, source = Installation(), numbers("a")
    async with site.process() as host:
        session = await opened(source, host)
        source.feed.fail(SourceGap("gone", b"7"))
        with pytest.raises(SourceGap) as raised:
            await read_one(session)
        await session.fail(raised.value)
        await session.release()
        source.feed.fail(None)
        with pytest.raises(SourceGap, match="gone"):
            await opened(source, host)
    fault = (await site.record("a")).fault
    assert fault is not None
    assert (fault.gap, fault.continue_at, fault.text) == (True, b"7", "gone")
    assert source.feed.opened == [0]


async def test_a_position_that_is_not_bytes_fails_before_anything_is_appended() -> None:
    site, source = Installation(), numbers("a")
    source.feed.put(1)
    async with site.process() as host:
        session = await opened(source, host)
        wrong: Any = "1"
        with pytest.raises(SourceError, match="position of a SourceChunk is str; encode it"):
            await session._take(SourceChunk([Event(type="t", source="/s")], wrong))
        assert (await site.record("a")).position is None
        await session.release()
