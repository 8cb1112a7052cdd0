"""A search finds what a plain look at every event finds, in the same order, page by page."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from zlib import crc32

from hypothesis import given, settings
from hypothesis import strategies as st

from busway.control.context import ControlContext
from busway.control.log.search import EventQuery, search_log
from busway.ports import NewBatch
from busway.testing import MemoryLedger, MemoryLog
from effort import examples

START = datetime(2030, 1, 1, tzinfo=UTC)
PARTITIONS = 3

keys = st.sampled_from(["a", "b", 'k"1', "ü", None])
made = st.fixed_dictionaries(
    {
        "id": st.sampled_from(["e1", "e2", "e\\3", "ë4"]),
        "type": st.sampled_from(["made", "sent"]),
        "n": st.integers(0, 3),
        "key": keys,
        "ascii": st.booleans(),
    }
)
appends = st.lists(
    st.tuples(st.integers(0, 2), st.lists(made, min_size=1, max_size=6)), max_size=12
)
minutes = st.none() | st.integers(0, 20).map(lambda one: START + timedelta(minutes=one))
questions = st.builds(
    EventQuery,
    id=st.none() | st.sampled_from(["e1", "e\\3", "ë4"]),
    key=keys,
    type=st.none() | st.just("made"),
    where=st.sampled_from([(), ("data.n=2",), ("data.n=2", "type=made"), ("data.m",)]),
    since=minutes,
    until=minutes,
)


def raw(one: dict[str, Any]) -> bytes:
    event = {"id": one["id"], "source": "/s", "type": one["type"], "data": {"n": one["n"]}}
    event |= {} if one["key"] is None else {"subject": one["key"]}
    return json.dumps(event, ensure_ascii=one["ascii"]).encode()


def fits(question: EventQuery, one: dict[str, Any], at: datetime) -> bool:
    return (
        question.id in (None, one["id"])
        and question.key in (None, one["key"])
        and question.type in (None, one["type"])
        and ("data.n=2" not in question.where or one["n"] == 2)
        and ("type=made" not in question.where or one["type"] == "made")
        and "data.m" not in question.where
        and (question.since is None or at >= question.since)
        and (question.until is None or at < question.until)
    )


@given(appends, questions, st.integers(1, 4), st.sampled_from([0.0, 60.0]))
@settings(max_examples=examples(40))
def test_a_search_finds_what_is_there_newest_first(
    given_: list[tuple[int, list[dict[str, Any]]]],
    question: EventQuery,
    limit: int,
    within_s: float,
) -> None:
    if question.since and question.until and question.since >= question.until:
        return
    asyncio.run(compare(given_, question, limit, within_s))


async def compare(
    given_: list[tuple[int, list[dict[str, Any]]]],
    question: EventQuery,
    limit: int,
    within_s: float,
) -> None:
    log, expected = MemoryLog(PARTITIONS), []
    at = START
    for step, events in given_:
        at += timedelta(minutes=step)
        for number, one in enumerate(events):
            partition = number if one["key"] is None else crc32(one["key"].encode())
            partition %= PARTITIONS
            (offset,) = await log.append([NewBatch(partition, [raw(one)])], at)
            if fits(question, one, at):
                expected.append((at, partition, offset))
    control = ControlContext(log=log, ledger=MemoryLedger())
    found: list[tuple[datetime, int, int]] = []
    page = await search_log(control, question, limit, within_s=within_s)
    while True:
        assert len(page.hits) <= limit
        found += [(one.appended_at, one.partition, one.offset) for one in page.hits]
        if not page.remaining:
            break
        page = await search_log(control, question, limit, page.remaining, within_s=within_s)
    assert sorted(found) == sorted(expected)
    assert [one[0] for one in found] == sorted((one[0] for one in expected), reverse=True)
