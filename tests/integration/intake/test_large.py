"""Large requests: read beside the event loop, and given to the bus in parts."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Sequence
from itertools import pairwise

import pytest

from busway.errors import StoreFull
from busway.ports import AppendEnvelope, AppendReceipt
from busway.source.http.large_body import MAX_EVENTS_PER_APPEND
from busway.source.http.request_head import MAX_HEADERS
from intake_client import NDJSON, Desk, chunked, event, request

COUNT = 2 * MAX_EVENTS_PER_APPEND + 1


def lines(count: int = COUNT) -> bytes:
    return b"\n".join(map(event, range(count)))


@pytest.mark.parametrize("coding", ["", "gzip"])
async def test_every_event_of_a_large_request_is_stored_in_its_order(
    desk: Desk, coding: str
) -> None:
    body = gzip.compress(lines(), 1) if coding else lines()
    answer = await desk.ask(request(body, NDJSON, f"Content-Encoding: {coding or 'identity'}"))
    assert (answer.status, answer.json) == (202, {"accepted": COUNT, "duplicates": 0})
    assert [one.id for one in desk.intake.envelopes] == [f"e{n}" for n in range(COUNT)]


async def test_a_large_request_is_given_to_the_bus_part_by_part(desk: Desk) -> None:
    desk.intake.hold = True
    client = await desk.connect()
    await client.send(request(lines(), NDJSON))
    sizes = []
    for _ in range(3):
        await asyncio.wait_for(desk.intake.arrived.wait(), 60)
        desk.intake.arrived.clear()
        health = await desk.ask(request(b"", "", line="GET /healthz HTTP/1.1"), "GET")
        assert (health.status, desk.intake.held) == (200, 1)
        sizes.append(len(desk.intake.raws))
        desk.intake.release()
    assert [b - a for a, b in pairwise([0, *sizes])] == [
        MAX_EVENTS_PER_APPEND,
        MAX_EVENTS_PER_APPEND,
        1,
    ]
    assert (await client.answer()).json == {"accepted": COUNT, "duplicates": 0}


async def test_a_store_that_is_full_in_the_middle_does_not_say_that_nothing_is_stored(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = desk.intake.append

    def append(
        raws: Sequence[bytes], envelopes: Sequence[AppendEnvelope]
    ) -> asyncio.Future[AppendReceipt]:
        desk.intake.error = StoreFull("the disk is full") if desk.intake.raws else None
        return whole(raws, envelopes)

    monkeypatch.setattr(desk.intake, "append", append)
    answer = await desk.ask(request(lines(), NDJSON))
    assert (
        answer.status,
        f"{MAX_EVENTS_PER_APPEND} of the events are stored" in answer.json["detail"],
    ) == (
        503,
        True,
    )
    desk.intake.error = None
    monkeypatch.undo()
    answer = await desk.ask(request(lines(), NDJSON))
    assert answer.json == {
        "accepted": COUNT - MAX_EVENTS_PER_APPEND,
        "duplicates": MAX_EVENTS_PER_APPEND,
    }


async def test_a_bad_event_at_the_end_of_a_large_request_refuses_all_of_it(desk: Desk) -> None:
    answer = await desk.ask(request(lines() + b"\n{}", NDJSON))
    assert (answer.status, answer.json["errors"][0]["index"]) == (400, COUNT)
    assert desk.intake.raws == []


async def test_a_client_that_hangs_up_meanwhile_leaves_nothing_behind(desk: Desk) -> None:
    desk.intake.hold = True
    client = await desk.connect()
    await client.send(request(lines(), NDJSON))
    await asyncio.wait_for(desk.intake.arrived.wait(), 60)
    client.writer.transport.abort()
    desk.intake.hold = False
    desk.intake.release()
    await asyncio.wait_for(desk.server.drain(), 60)
    assert len(desk.intake.raws) == COUNT


async def test_too_many_headers_are_refused(desk: Desk) -> None:
    many = [f"x-{n}: 1" for n in range(MAX_HEADERS)]
    assert (await desk.ask(request(event(), "application/json", *many))).status == 431


async def test_very_many_tiny_chunks_are_refused(desk: Desk) -> None:
    answer = await desk.ask(chunked(b" " * 10_000, 1))
    assert (answer.status, "too small" in answer.json["detail"]) == (400, True)


async def test_empty_lines_for_ever_are_refused(desk: Desk) -> None:
    answer = await desk.ask(b"\r\n" * 1_000)
    assert (answer.status, "empty lines" in answer.json["detail"]) == (400, True)
