"""Every source keeps what the suites ask for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from busway.ports import Source, SourceRequest
from busway.source.cloudevents import CloudEvents
from busway.sources import from_field, from_header, schedule, webhook
from busway.testing import ManualClock, ReaderSourceSuite, RequestSourceSuite, source_request

EVENT = {"specversion": "1.0", "id": "1", "source": "/shop", "type": "order.created"}
ORDER = EVENT | {"id": "2", "subject": "o2", "partitionkey": "k", "data": {"total": 9.5}}
DAY_S = 86_400.0


def lines(*events: object) -> bytes:
    return b"\n".join(json.dumps(event).encode() for event in events)


class TestCloudEvents(RequestSourceSuite):
    def declare(self, place: Path) -> Source:
        return CloudEvents()

    def accepted(self) -> Sequence[SourceRequest]:
        structured, batch = "application/cloudevents+json", "application/cloudevents-batch+json"
        binary = {"ce_specversion": "1.0", "ce_id": "3", "ce_source": "/s", "ce_type": "t"}
        return [
            source_request(lines(ORDER), structured),
            source_request(json.dumps([EVENT, ORDER]).encode(), batch),
            source_request(lines(EVENT, ORDER), "application/x-ndjson"),
            source_request(b"\x89PNG", "image/png", **binary, ce_subject="%C3%A9"),
            source_request(b'{"total": 1}', **binary, ce_time="2030-01-01T00:00:00Z"),
        ]

    def refused(self) -> Sequence[SourceRequest]:
        return [
            source_request(lines(EVENT), "text/plain"),
            source_request(b"{", "application/cloudevents+json"),
            source_request(lines(ORDER | {"id": ""}), "application/cloudevents+json"),
        ]


class TestWebhook(RequestSourceSuite):
    def declare(self, place: Path) -> Source:
        return webhook(
            "orders",
            type="order.created",
            id="$.id",
            subject=from_header("X-Shop"),
            key=from_field("$.id"),
            split=True,
            query=["region"],
        )

    def never_valid(self) -> Sequence[Source]:
        return [webhook("orders", id="$.["), webhook("orders", time="yesterday")]

    def accepted(self) -> Sequence[SourceRequest]:
        return [
            source_request(b'{"id": 4711, "total": 9.5}', x_shop="north"),
            source_request(b'[{"id": "a"}, {"id": "b"}]', x_shop="north"),
            source_request(b'{"id": "a"}\n{"id": "b"}\n', "application/x-ndjson", x_shop="s"),
            source_request(b"id=4711&total=9.5", "application/x-www-form-urlencoded", x_shop="s"),
        ]

    def refused(self) -> Sequence[SourceRequest]:
        return [source_request(b"{"), source_request(b'{"total": 9.5}')]


class TestWebhookOfAnyBody(RequestSourceSuite):
    has_stable_ids = False

    def declare(self, place: Path) -> Source:
        return webhook("anything")

    def accepted(self) -> Sequence[SourceRequest]:
        return [
            source_request(b"\x89PNG\x00", "image/png"),
            source_request(b"<order id='1'/>", "application/xml"),
            source_request("Grüße".encode(), "text/plain; charset=utf-8"),
            source_request(b'{"id": 1}', webhook_id="msg_1"),
        ]


class TestSchedule(ReaderSourceSuite):
    def declare(self, place: Path) -> Source:
        return schedule("nightly", type="nightly.due", every="1d", catch_up="all")

    def never_valid(self) -> Sequence[Source]:
        return [
            schedule("nightly", type="nightly.due"),
            schedule("nightly", type="nightly.due", cron="61 * * * *"),
            schedule("nightly", type="nightly.due", every="1d", at="2030-01-01T00:00:00Z"),
        ]

    async def add_records(self, place: Path, clock: ManualClock, count: int) -> None:
        await clock.advance(count * DAY_S)
