"""The http sink against a real server that misbehaves as told."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import msgspec
import pytest

from busway.clock import SystemClock, derived_id
from busway.errors import SinkError
from busway.event import Event
from busway.outcome import (
    BLOCKED_BY_KEY,
    DELIVERED,
    NOT_ATTEMPTED,
    Delivered,
    Down,
    Gone,
    NotAttempted,
    Outcome,
    RateLimited,
    Rejected,
    Retry,
)
from busway.ports import Destination, LoadItem
from busway.runtime.admission.concurrency_limiter import ConcurrencyLimiter
from busway.settings import env
from busway.sinks import http
from delivery_node import DEADLINE_S
from http_target import Answer, Call, HttpTarget, http_target
from service import LOOPBACK
from sink_load import KeptEvents, an_item, fresh


@pytest.fixture
async def target() -> AsyncIterator[HttpTarget]:
    async with http_target() as running:
        yield running


@asynccontextmanager
async def opened(target: HttpTarget, **options: Any) -> AsyncIterator[Destination]:
    destination = await http(target.url, **options).open(KeptEvents())
    try:
        yield destination
    finally:
        await destination.close()


async def write(
    target: HttpTarget, items: Sequence[LoadItem], *, ordered: bool = False, **options: Any
) -> Sequence[Outcome]:
    async with opened(target, **options) as destination:
        load = msgspec.structs.replace(fresh(items), ordered=ordered)
        async with asyncio.timeout(DEADLINE_S):
            return await destination.write(load)


def orders(count: int, *keys: str) -> list[LoadItem]:
    """Items whose events have these keys in turn."""
    return [
        an_item(
            n,
            {"id": n},
            event=Event(
                type="order.created",
                source="/shop",
                id=f"e{n}",
                subject=keys[n % len(keys)] if keys else None,
            ),
        )
        for n in range(count)
    ]


def order(call: Call) -> int:
    return int(json.loads(call.body)["id"])


async def test_posts_each_result_with_its_key(target: HttpTarget) -> None:
    event = Event(type="order.priced", source="/s", id="x", data={"n": 1})
    outcomes = await write(target, [an_item(0, {"id": 1}, event)], headers={"X-Shop": "a"})
    assert outcomes == [DELIVERED]
    one, two = target.calls
    assert (one.method, one.path, one.body) == ("POST", "/orders", b'{"id":1}')
    assert one.headers["content-type"] == "application/json"
    assert one.headers["x-shop"] == "a"
    assert [one.key, two.key] == [derived_id("orders", "/shop\0e0", n) for n in range(2)]
    assert two.headers["content-type"] == "application/cloudevents+json"
    assert Event.from_json(two.body) == event


async def test_the_key_is_the_same_when_it_is_done_again(target: HttpTarget) -> None:
    target.decide = lambda call: Answer(500 if len(target.calls) == 1 else 200)
    async with opened(target) as destination:
        (first,) = await destination.write(fresh(orders(1)))
        assert isinstance(first, Retry)
        assert await destination.write(fresh(orders(1))) == [DELIVERED]
    assert target.calls[0].key == target.calls[1].key


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (200, DELIVERED),
        (204, DELIVERED),
        (301, Rejected("http 301", "no such luck")),
        (400, Rejected("http 400", "no such luck")),
        (404, Rejected("http 404", "no such luck")),
        (408, Retry("http 408", "no such luck")),
        (409, Retry("http 409", "no such luck")),
        (410, Gone("http 410: no such luck", "http 410")),
        (425, Retry("http 425", "no such luck")),
        (429, RateLimited("http 429", "no such luck")),
        (500, Retry("http 500", "no such luck")),
        (501, Retry("http 501", "no such luck")),
        (502, Down("http 502: no such luck", reachable=True, error="http 502")),
        (503, Down("http 503: no such luck", reachable=True, error="http 503")),
        (504, Down("http 504: no such luck", reachable=True, error="http 504")),
    ],
)
async def test_what_a_status_means(target: HttpTarget, status: int, expected: Outcome) -> None:
    body = b"" if status == 204 else b"no such\n luck"
    target.decide = lambda call: Answer(status, body=body)
    assert await write(target, orders(1)) == [expected]


async def test_the_body_of_an_answer_is_cut(target: HttpTarget) -> None:
    target.decide = lambda call: Answer(400, body=b"x" * 100_000)
    (outcome,) = await write(target, orders(1))
    assert isinstance(outcome, Rejected)
    assert outcome.reason == "x" * 299 + "…"


async def test_a_redirect_is_not_followed(target: HttpTarget) -> None:
    target.decide = lambda call: Answer(307, {"location": "http://elsewhere/x?token=secret"})
    (outcome,) = await write(target, orders(1))
    reason = "it redirects to http://elsewhere/x; declare that URL instead"
    assert outcome == Rejected("http 307", reason)
    assert len(target.calls) == 1


async def test_retry_after_is_obeyed(target: HttpTarget) -> None:
    target.decide = lambda call: Answer(500, {"retry-after": "7"})
    (outcome,) = await write(target, orders(1))
    assert outcome == Retry("http 500", "", 7.0)
    at = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    target.decide = lambda call: Answer(503, {"retry-after": at})
    (outcome,) = await write(target, orders(1))
    assert isinstance(outcome, Down)
    assert outcome.retry_after_s is not None
    assert 90 < outcome.retry_after_s <= 100


async def test_one_event_that_is_refused_is_known_to_be_overtaken(target: HttpTarget) -> None:
    target.decide = lambda call: Answer(503 if order(call) == 3 else 200)
    outcomes = await write(target, orders(20))
    assert outcomes[3] == Down("http 503", reachable=True, error="http 503", later_delivered=True)
    assert outcomes.count(DELIVERED) == 19


async def test_one_event_at_which_it_hangs_is_known_to_be_overtaken(target: HttpTarget) -> None:
    target.decide = lambda call: Answer(hang=order(call) == 3)
    outcomes = await write(target, orders(20), timeout="4s")  # others are not to be late as well
    late = "timeout: no answer within 4.0 s"
    assert outcomes[3] == Down(late, reachable=True, error="timeout", later_delivered=True)
    assert outcomes.count(DELIVERED) == 19


async def test_when_it_refuses_all_the_rest_is_not_tried(target: HttpTarget) -> None:
    target.decide = lambda call: Answer(429, {"retry-after": "3"})
    outcomes = await write(target, orders(100), concurrency=4)
    assert set(outcomes) == {RateLimited("http 429", "", 3.0), NOT_ATTEMPTED}
    assert len(outcomes) - outcomes.count(NOT_ATTEMPTED) == len(target.calls)
    assert len(target.calls) <= 8


async def test_when_it_hangs_at_all_it_is_down(target: HttpTarget) -> None:
    target.decide = lambda call: Answer(hang=True)
    outcomes = await write(target, orders(50), timeout="4s", concurrency=3)  # it is to connect
    late = Down("timeout: no answer within 4.0 s", reachable=True, error="timeout")
    assert set(outcomes) == {late, NOT_ATTEMPTED}
    assert len(target.calls) <= 6


async def test_a_limit_reached_on_the_way_holds_back_the_rest(target: HttpTarget) -> None:
    target.decide = lambda call: Answer(200 if len(target.calls) <= 20 else 429)
    outcomes = await write(target, orders(200), concurrency=4)
    kinds = [type(outcome) for outcome in outcomes]
    assert kinds.count(Delivered) == 20
    assert kinds.count(RateLimited) == len(target.calls) - 20
    assert outcomes.count(NOT_ATTEMPTED) >= 170
    assert len(target.calls) <= 28


async def test_down_and_up_again(target: HttpTarget) -> None:
    async with opened(target) as destination:
        assert await destination.write(fresh(orders(1))) == [DELIVERED]
        await target.stop()
        outcomes = await destination.write(fresh(orders(30)))
        assert {type(outcome) for outcome in outcomes} == {Down, NotAttempted}
        assert isinstance(outcomes[0], Down)
        assert not outcomes[0].reachable
        assert f"{target.url} cannot be reached" in outcomes[0].reason
        await target.start()
        assert await destination.write(fresh(orders(3))) == [DELIVERED] * 3


async def test_an_unknown_host_is_down() -> None:
    destination = await http("http://user:pass@busway.invalid/x?token=1").open(KeptEvents())
    (outcome,) = await destination.write(fresh(orders(1)))
    await destination.close()
    assert isinstance(outcome, Down)
    assert not outcome.reachable
    assert outcome.reason.startswith("http://busway.invalid/x cannot be reached")


async def test_a_tls_failure_is_down() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 This Is No TLS\r\n\r\n")
        await reader.read()
        writer.close()

    async with await asyncio.start_server(refuse, LOOPBACK, 0) as server:
        port = server.sockets[0].getsockname()[1]
        destination = await http(f"https://{LOOPBACK}:{port}/x").open(KeptEvents())
        (outcome,) = await destination.write(fresh(orders(1)))
        await destination.close()
    assert isinstance(outcome, Down)
    assert not outcome.reachable


async def unconnected(url: str) -> None:
    """Write to where no connection comes about in time."""
    destination = await http(url, timeout="1s").open(KeptEvents())
    (outcome,) = await destination.write(fresh(orders(1)))
    await destination.close()
    reason = f"{url} cannot be reached: no connection within 1.0 s"
    assert outcome == Down(reason, error="no connection")


async def test_a_handshake_without_an_end_is_down(target: HttpTarget) -> None:
    await unconnected(target.url.replace("http:", "https:"))


async def test_a_name_that_is_not_found_in_time_is_down(target: HttpTarget) -> None:
    with ThreadPoolExecutor(1) as resolvers:
        asyncio.get_running_loop().set_default_executor(resolvers)
        busy = threading.Event()
        resolvers.submit(busy.wait)
        try:
            await unconnected(target.url.replace(LOOPBACK, "localhost"))
        finally:
            busy.set()


async def test_a_connection_that_breaks_is_tried_once_more(target: HttpTarget) -> None:
    target.decide = lambda call: Answer(drop=len(target.calls) == 1)
    assert await write(target, orders(1)) == [DELIVERED]
    assert target.calls[0].key == target.calls[1].key


async def test_an_event_that_breaks_the_connection_is_retried(target: HttpTarget) -> None:
    target.decide = lambda call: Answer(drop=order(call) == 1)
    outcomes = await write(target, orders(4))
    assert isinstance(outcomes[1], Down)
    assert (outcomes[1].error, outcomes[1].later_delivered) == ("no answer", True)
    assert outcomes.count(DELIVERED) == 3


async def test_gone_stops_at_once(target: HttpTarget) -> None:
    target.decide = lambda call: Answer(410)
    outcomes = await write(target, orders(50), concurrency=1)
    assert outcomes == [Gone("http 410: ", "http 410"), *[NOT_ATTEMPTED] * 49]
    assert len(target.calls) == 1


async def test_order_is_kept_by_key(target: HttpTarget) -> None:
    target.hold_until_busy(3)
    outcomes = await write(target, orders(60, "a", "b", "c"), ordered=True)
    assert outcomes == [DELIVERED] * 60
    assert target.busiest == 3
    for key in range(3):
        seen = [order(call) for call in target.calls if order(call) % 3 == key]
        assert seen == sorted(seen)


async def test_later_events_of_a_key_wait_behind_a_failure(target: HttpTarget) -> None:
    target.decide = lambda call: Answer(500 if order(call) == 3 else 200)
    outcomes = await write(target, orders(12, "a", "b", "c"), ordered=True)
    assert outcomes[3] == Retry("http 500", "")
    assert [n for n, outcome in enumerate(outcomes) if outcome == BLOCKED_BY_KEY] == [6, 9]
    assert outcomes.count(DELIVERED) == 9
    assert sorted(order(call) for call in target.calls) == [0, 1, 2, 3, 4, 5, 7, 8, 10, 11]


async def test_events_without_a_key_wait_for_nobody(target: HttpTarget) -> None:
    target.decide = lambda call: Answer(500 if order(call) == 0 else 200)
    outcomes = await write(target, orders(5), ordered=True)
    assert outcomes.count(DELIVERED) == 4


async def test_an_ordered_destination_that_is_down_holds_nobody(target: HttpTarget) -> None:
    await target.stop()
    outcomes = await write(target, orders(12, "a", "b"), ordered=True)
    assert {type(outcome) for outcome in outcomes} == {Down, NotAttempted}


async def test_concurrency_is_bounded_over_all_lanes(target: HttpTarget) -> None:
    target.hold_until_busy(3)
    slots = ConcurrencyLimiter(3, SystemClock())
    loads = [
        msgspec.structs.replace(fresh(orders(20), partition=p), permits=slots) for p in range(4)
    ]
    async with opened(target, concurrency=3) as destination:
        outcomes = await asyncio.gather(*(destination.write(load) for load in loads))
    assert outcomes == [[DELIVERED] * 20] * 4
    assert target.busiest == 3
    assert slots.in_flight == 0


async def test_batches_of_json(target: HttpTarget) -> None:
    assert await write(target, orders(5), batch=2, concurrency=1) == [DELIVERED] * 5
    assert [json.loads(call.body) for call in target.calls] == [
        [{"id": 0}, {"id": 1}],
        [{"id": 2}, {"id": 3}],
        [{"id": 4}],
    ]
    keys = [call.key for call in target.calls]
    assert len(set(keys)) == 3
    await write(target, orders(5), batch=2, concurrency=1)
    assert [call.key for call in target.calls[3:]] == keys


async def test_batches_of_lines_and_of_events(target: HttpTarget) -> None:
    await write(target, orders(2), batch=10, batch_format="ndjson")
    event = Event(type="t", source="/s", id="x")
    await write(target, [an_item(0, event)], batch=10)
    lines, events = target.calls
    assert (lines.headers["content-type"], lines.body) == (
        "application/x-ndjson",
        b'{"id":0}\n{"id":1}\n',
    )
    assert events.headers["content-type"] == "application/cloudevents-batch+json"
    assert json.loads(events.body) == [json.loads(event.to_json())]


async def test_the_bad_one_of_a_batch_is_found(target: HttpTarget) -> None:
    target.decide = lambda call: Answer(422 if b'"id":5}' in call.body else 200)
    outcomes = await write(target, orders(8), batch=8)
    assert outcomes[5] == Rejected("http 422", "")
    assert outcomes.count(DELIVERED) == 7
    assert sorted(row["id"] for call in target.taken for row in json.loads(call.body)) == [
        0, 1, 2, 3, 4, 6, 7,
    ]  # fmt: skip


async def test_order_is_kept_over_batches(target: HttpTarget) -> None:
    target.decide = lambda call: Answer(500 if b'"id":2}' in call.body else 200)
    outcomes = await write(target, orders(8, "a", "b", "c", "d"), ordered=True, batch=4)
    assert outcomes[:4] == [Retry("http 500", "")] * 4
    assert outcomes[4:] == [BLOCKED_BY_KEY] * 4


async def test_what_cannot_be_json_is_rejected_alone(target: HttpTarget) -> None:
    outcomes = await write(target, [*orders(1), an_item(1, {"id": object()}), an_item(2)])
    assert outcomes[0] == outcomes[2] == DELIVERED
    assert isinstance(outcomes[1], Rejected)


def test_a_name_holds_no_secrets() -> None:
    assert http("https://u:p@crm.example:8443/a?key=1#x").name == "http https://crm.example:8443/a"
    assert http(env("CRM_URL")).name == "http $CRM_URL"
    assert hash(http("http://a", headers={"a": env("TOKEN")})) is not None


async def test_variables_are_taken_when_it_is_opened(
    target: HttpTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRM_URL", target.url)
    monkeypatch.setenv("CRM_TOKEN", "Bearer x")
    sink = http(env("CRM_URL"), headers={"Authorization": env("CRM_TOKEN")})
    destination = await sink.open(KeptEvents())
    assert await destination.write(fresh(orders(1))) == [DELIVERED]
    await destination.close()
    assert target.calls[0].headers["authorization"] == "Bearer x"


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("", {}),
        ("ftp://x/", {}),
        ("http:///x", {}),
        ("http://x/", {"method": "PO ST"}),
        ("http://x/", {"timeout": "soon"}),
        ("http://x/", {"timeout": 0}),
        ("http://x/", {"concurrency": 0}),
        ("http://x/", {"batch": 0}),
        ("http://x/", {"headers": {"a b": "c"}}),
        ("http://x/", {"headers": {"a": "b\nc"}}),
    ],
)
async def test_refuses_what_can_never_work(url: str, options: dict[str, Any]) -> None:
    with pytest.raises(SinkError):
        await http(url, **options).open(KeptEvents())
