"""Any body at ``/in/NAME``, over a real server: accepted, refused, and never in another's way."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import msgspec
import pytest
import zstandard

from busway import Event
from busway.ports import (
    AppendReceipt,
    Received,
    RequestAnswer,
    RequestHead,
    RequestReceiver,
    RequestRefusal,
    Source,
    SourceRequest,
)
from busway.source.mount import mounted
from busway.sources import webhook
from intake_client import Answer, Client, Desk, request, serving

JSON = "application/json"
STALL_S = 0.25
"""A loop that decodes a hostile body itself stands still for longer than this, each time."""
TRIES = 4
"""On a busy machine something else may take as long, but not each time."""


class Challenge(msgspec.Struct, frozen=True):
    """A source of somebody else: answers a GET by itself, and shapes its other answers."""

    name: str = "challenge"
    methods: tuple[str, ...] = ("GET", "POST")

    def open_receiver(self, max_event_bytes: int) -> RequestReceiver:
        return ChallengeReceiver()


class ChallengeReceiver:
    def receive(self, request: SourceRequest) -> Received:
        if request.head.method == "GET":
            return RequestAnswer(200, request.head.query.encode())
        if request.body == b"broken":
            raise ZeroDivisionError
        if request.body[:1] == b"=":
            return [Event(type=request.body[1:].decode(), source="/challenge", id="1")]
        return RequestRefusal(422, "not-mine", "Not mine", "it is another's")

    def accepted(self, head: RequestHead, appended: AppendReceipt) -> RequestAnswer:
        return RequestAnswer(200, b"[accepted]")


class Declared(msgspec.Struct, frozen=True):
    sources: Sequence[Source]
    takes_events: bool = True


SOURCES = (
    webhook("orders", type="order.created", id="$.order_id"),
    webhook("any"),
    webhook("split", split=True),
    Challenge(),
)


@pytest.fixture
async def doors() -> AsyncIterator[Desk]:
    async with serving(sources=mounted(Declared(SOURCES), 1024 * 1024)) as running:
        yield running


def post(name: str, body: bytes, kind: str = JSON, *headers: str, method: str = "POST") -> bytes:
    return request(body, kind, *headers, line=f"{method} /in/{name} HTTP/1.1")


def stored(desk: Desk) -> list[dict[str, Any]]:
    return [json.loads(raw) for raw in desk.intake.raws]


async def test_a_bare_post_of_an_order_lands_it(doors: Desk) -> None:
    body = b'{"order_id": 4711, "total": 12.5}'
    answer = await doors.ask(post("orders", body, "application/x-www-form-urlencoded"))
    assert (answer.status, answer.json) == (202, {"accepted": 1, "duplicates": 0})
    (event,) = stored(doors)
    assert (event["type"], event["id"], event["data"]["total"]) == ("order.created", "4711", 12.5)


async def test_the_same_id_again_is_a_duplicate(doors: Desk) -> None:
    for _ in range(2):
        answer = await doors.ask(post("orders", b'{"order_id": 1}'))
    assert answer.json == {"accepted": 0, "duplicates": 1}


@pytest.mark.parametrize(
    ("coding", "compress"),
    [("gzip", gzip.compress), ("zstd", zstandard.ZstdCompressor().compress)],
)
async def test_bodies_may_be_compressed(
    doors: Desk, coding: str, compress: Callable[[bytes], bytes]
) -> None:
    body = compress(b'{"order_id": 1}')
    answer = await doors.ask(post("orders", body, JSON, f"Content-Encoding: {coding}"))
    assert answer.status == 202
    assert stored(doors)[0]["id"] == "1"


async def test_a_missing_id_is_refused_with_what_was_there(doors: Desk) -> None:
    answer = await doors.ask(post("orders", b'{"total": 1}'))
    assert (answer.status, answer.json["type"]) == (400, "urn:busway:problem:missing-value")
    assert answer.json["detail"].endswith("$.order_id, but the object at $ has 'total'")
    assert doors.intake.raws == []


async def test_an_unknown_source_is_not_found_and_lists_nothing(doors: Desk) -> None:
    answer = await doors.ask(post("nope", b"{}"))
    assert (answer.status, answer.json["type"]) == (404, "urn:busway:problem:unknown-source")
    assert "orders" not in answer.body.decode()


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
async def test_other_methods_are_not_allowed(doors: Desk, method: str) -> None:
    answer = await doors.ask(post("orders", b"", "", method=method))
    assert (answer.status, answer.headers["allow"]) == (405, "POST, OPTIONS")


async def test_options_say_what_is_allowed(doors: Desk) -> None:
    answer = await doors.ask(post("challenge", b"", "", method="OPTIONS"))
    assert (answer.status, answer.headers["allow"]) == (204, "GET, POST, OPTIONS")


async def test_a_source_may_answer_by_itself(doors: Desk) -> None:
    answer = await doors.ask(request(line="GET /in/challenge?token=7 HTTP/1.1", kind=""), "GET")
    assert (answer.status, answer.body) == (200, b"token=7")


async def test_a_source_may_refuse_with_a_code_of_its_own(doors: Desk) -> None:
    answer = await doors.ask(post("challenge", b"{}"))
    assert (answer.status, answer.json["type"]) == (422, "urn:busway:problem:not-mine")


async def test_a_source_may_return_events_and_shape_the_answer(doors: Desk) -> None:
    answer = await doors.ask(post("challenge", b"=made"))
    assert (answer.status, answer.body) == (200, b"[accepted]")
    assert [event["type"] for event in stored(doors)] == ["made"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [(b"=", "type is ''; it must be a non-empty string"), (b"=busway.x", "reserved")],
)
async def test_events_of_a_source_that_are_not_valid_are_refused(
    doors: Desk, body: bytes, reason: str
) -> None:
    answer = await doors.ask(post("challenge", body))
    assert (answer.status, answer.json["type"]) == (400, "urn:busway:problem:invalid-events")
    assert reason in answer.json["errors"][0]["reason"]


async def test_a_source_that_fails_is_a_defect_and_no_other_request_notices(doors: Desk) -> None:
    loop, reports = asyncio.get_running_loop(), list[dict[str, Any]]()
    loop.set_exception_handler(lambda _, context: reports.append(context))
    client = await doors.connect()
    assert (await client.ask(post("challenge", b"broken"))).status == 500
    assert (await client.ask(post("any", b"1"))).status == 202
    assert [type(report["exception"]) for report in reports] == [ZeroDivisionError]


async def test_events_that_are_switched_off_are_not_found() -> None:
    declared = Declared(SOURCES, takes_events=False)
    async with serving(sources=mounted(declared, 1000)) as desk:
        answer = await desk.ask(request(b"{}"))
        assert (answer.status, answer.json["type"]) == (404, "urn:busway:problem:events-off")
        assert "events=False" in answer.json["detail"]


async def test_sources_change_while_the_server_runs(doors: Desk) -> None:
    client = await doors.connect()
    assert (await client.ask(post("any", b"1"))).status == 202
    doors.server.change_sources(mounted(Declared([webhook("new")]), 1000))
    assert (await client.ask(post("any", b"1"))).status == 404
    assert (await client.ask(post("new", b"1"))).status == 202


HOSTILE = {
    "deep": b"[" * 8_000_000,
    "deep objects": b'{"a":' * 2_000_000,
    "numbers": b"[" + b"1," * 7_000_000 + b"1]",
    "empty objects": b"[" + b"{}," * 5_000_000 + b"{}]",
    "slow numbers": b"[" + b"1e30," * 3_000_000 + b"1]",
    "one long number": b"[" + b"9" * 15_000_000 + b"]",
    "blanks": b"[" + b" " * 15_000_000 + b"1]",
    "lines": b"\n" * 15_000_000,
    "NUL": b"[" + b'"\\u0000",' * 1_500_000 + b"1]",
    "not UTF-8": b"[" + b'"\xff",' * 3_000_000 + b"1]",
    "escapes": b'["' + b"\\\\" * 7_000_000 + b'"]',
}


@pytest.mark.parametrize("name", ["any", "split"])
@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
async def test_a_hostile_body_keeps_nobody_waiting(doors: Desk, body: bytes, name: str) -> None:
    kind = "application/x-ndjson" if body[:1] == b"\n" else JSON
    answer = await keeps_nobody_waiting(doors, post(name, body, kind))
    assert answer.status in (202, 400, 413)
    assert len(doors.intake.raws) <= TRIES


async def test_a_large_body_is_split_beside_the_loop(doors: Desk) -> None:
    count = 15_000
    body = b"[" + b",".join(b'{"order_id": %d, "total": 12.50}' % n for n in range(count)) + b"]"
    answer = await keeps_nobody_waiting(doors, post("split", body))
    assert answer.json == {"accepted": count, "duplicates": 0}


async def keeps_nobody_waiting(desk: Desk, data: bytes) -> Answer:
    """Send a request while another client asks for health again and again."""
    longest = []
    for _ in range(TRIES):
        sender, other = await desk.connect(), await desk.connect()
        answer = asyncio.create_task(sender.ask(data))
        longest.append(max(await _waits(other, answer)))
        if longest[-1] < STALL_S:
            return await answer
    raise AssertionError(f"other requests waited {longest} seconds")


async def _waits(client: Client, until: asyncio.Task[Answer]) -> list[float]:
    """Ask for health again and again until a task is done; return how long each answer took."""
    waits: list[float] = []
    while not waits or not until.done():
        began = time.perf_counter()
        await client.ask(request(b"", "", line="GET /healthz HTTP/1.1"), "GET")
        waits.append(time.perf_counter() - began)
    return waits


HOSTILE_FORMS = {
    "fields": (b"a=1&" * 250_000, "application/x-www-form-urlencoded"),
    "escaped": (b"a=" + b"%41" * 85_000, "application/x-www-form-urlencoded"),
    "parts": (
        b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n' * 4_000,
        "multipart/form-data; boundary=b",
    ),
    "no part": (b"--b\r\n" + b"x" * 250_000, "multipart/form-data; boundary=b"),
    "boundaries": (b"\r\n--b" * 43_000, "multipart/form-data; boundary=b"),
}


@pytest.mark.parametrize(("body", "kind"), HOSTILE_FORMS.values(), ids=HOSTILE_FORMS)
async def test_a_hostile_form_keeps_nobody_waiting(doors: Desk, body: bytes, kind: str) -> None:
    answer = await keeps_nobody_waiting(doors, post("any", body, kind))
    assert answer.status in (202, 400)
