"""A reader that is killed anywhere, again and again: each record is once in the log and counts."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st

from busway.runtime.reader.reader_record import ReaderTaken
from number_source import Numbers, numbers
from reader_host import Installation, opened

lives = st.lists(
    st.tuples(
        st.integers(0, 15),  # records that come
        st.integers(1, 6),  # records in a chunk
        st.integers(0, 120),  # how often the event loop goes round until the process is killed
        st.sampled_from([0.0, 0.05, 0.2, 1.5]),  # seconds between two looks
    ),
    min_size=1,
    max_size=8,
)


async def live(site: Installation, source: Numbers, rounds: int, pace_s: float) -> None:
    """Read in a process until it is killed: nothing of it is closed, saved or released."""

    async def read() -> None:
        async with site.process() as host:
            session = await opened(source, host)
            while True:
                task = session.reading(lambda: None)
                if not task.done():
                    await asyncio.sleep(0)
                await session.advance()
                await site.clock.advance(pace_s)

    process = asyncio.create_task(read())
    for _ in range(rounds):
        await asyncio.sleep(0)
    process.cancel()
    with suppress(asyncio.CancelledError):
        await process


async def finish(site: Installation, source: Numbers) -> None:
    """Read all in a process that nobody kills."""
    async with site.process() as host:
        session = await opened(source, host)
        while (await site.record(source.name)).position != b"%d" % source.feed.end:
            task = session.reading(lambda: None)
            await asyncio.wait([task], timeout=0.001)
            await session.advance()
            await site.clock.advance(0.2)
        await session.close()


@settings(deadline=None)
@given(lives)
def test_each_record_is_read_once(lives: list[tuple[int, int, int, float]]) -> None:
    async def play() -> None:
        site, source = Installation(), numbers("a")
        for count, per_chunk, rounds, pace_s in lives:
            source.feed.per_chunk = per_chunk
            source.feed.put(count)
            await live(site, source, rounds, pace_s)
        source.feed.put(1)
        await finish(site, source)
        end = source.feed.end
        assert sorted(await site.logged()) == sorted(f"a-{n}" for n in range(end))
        counts, record = await site.counts("a"), await site.record("a")
        assert (counts.accepted, counts.duplicates, record.intent) == (end, 0, None)

    asyncio.run(play())


@settings(deadline=None)
@given(lives)
def test_a_process_that_is_suspended_repeats_nothing(
    lives: list[tuple[int, int, int, float]],
) -> None:
    """It is the one before, and goes on when another one reads: its next save is refused."""

    async def play() -> None:
        site, source = Installation(), numbers("a")
        async with site.process("old") as host:
            for count, per_chunk, rounds, pace_s in lives:
                source.feed.per_chunk = per_chunk
                source.feed.put(count + 1)
                session = await opened(source, host)
                await live(site, source, rounds, pace_s)
                with suppress(ReaderTaken):
                    await session.close()
        await finish(site, source)
        assert sorted(await site.logged()) == sorted(f"a-{n}" for n in range(source.feed.end))

    asyncio.run(play())
