"""Any body becomes events; a missing attribute value refuses the request."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from busway import Event
from busway.declarable import CallError
from busway.errors import SourceError
from busway.ports import DecodedEvents, Received, RequestHead, RequestRefusal, SourceRequest
from busway.source.webhook.source import Webhook
from busway.sources import from_field, from_header, from_query, webhook

NOW = datetime(2020, 2, 3, 4, 5, 6, tzinfo=UTC)
JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
MULTIPART = (
    b'--b\r\nContent-Disposition: form-data; name="id"\r\n\r\n7\r\n'
    b'--b\r\nContent-Disposition: form-data; name="list"; filename="a.csv"\r\n'
    b"Content-Type: text/csv\r\n\r\na,b\r\n"
    b'--b\r\nContent-Disposition: form-data; name="photo"; filename="a.png"\r\n'
    b"Content-Type: image/png\r\n\r\n\x89\xff\r\n--b--\r\n"
)


def receive(source: Webhook, body: bytes, kind: str = JSON, **given: Any) -> Received:
    headers = {"content-type": kind} if kind else {}
    headers |= {name.lower(): value for name, value in given.get("headers", {}).items()}
    fields = [(name, value.encode()) for name, value in headers.items()]
    head = RequestHead("POST", given.get("path", ""), given.get("query", ""), fields)
    largest = given.get("largest", 100_000)
    return source.open_receiver(largest).receive(SourceRequest(head, body, NOW, largest))


def events(source: Webhook, body: bytes, kind: str = JSON, **given: Any) -> list[dict[str, Any]]:
    received = receive(source, body, kind, **given)
    assert isinstance(received, DecodedEvents), received
    members = [json.loads(raw) for raw in received.raws]
    assert [event["id"] for event in members] == [one.id for one in received.envelopes]
    return members


def event(source: Webhook, body: bytes, kind: str = JSON, **given: Any) -> dict[str, Any]:
    (only,) = events(source, body, kind, **given)
    return only


def refusal(source: Webhook, body: bytes, kind: str = JSON, **given: Any) -> RequestRefusal:
    received = receive(source, body, kind, **given)
    assert isinstance(received, RequestRefusal), received
    return received


def test_a_body_becomes_one_event_with_its_bytes_as_data() -> None:
    source = webhook("orders", type="order.created", id="$.order_id")
    body = b'{"order_id": 4711, "total": 12345678901234567.890}'
    received = receive(source, body)
    assert isinstance(received, DecodedEvents)
    assert received.raws[0].endswith(b'"data":' + body + b"}")
    assert event(source, body) == {
        "specversion": "1.0",
        "id": "4711",
        "source": "/in/orders",
        "type": "order.created",
        "time": "2020-02-03T04:05:06Z",
        "datacontenttype": JSON,
        "data": json.loads(body),
    }


@pytest.mark.parametrize(
    ("kind", "body", "expected"),
    [
        (JSON, b'{"a": 1}', {"data": {"a": 1}}),
        (JSON, b"\xef\xbb\xbf[1]", {"data": [1]}),
        ("application/vnd.x+json; v=1", b"null", {"data": None}),
        ("application/x-ndjson", b"1\n2\n", {"data": "1\n2\n"}),
        (FORM, b"a=1&b=x+y&b=%C3%A9", {"data": {"a": "1", "b": ["x y", "é"]}}),
        (FORM, b'{"a": 1}', {"data": {"a": 1}, "datacontenttype": JSON}),
        ("", b' [{"a": 1}]', {"data": [{"a": 1}], "datacontenttype": JSON}),
        ("", b"\x00", {"data_base64": "AA=="}),
        ("text/xml", "<a>é</a>".encode(), {"data": "<a>é</a>"}),
        ("application/soap+xml", b"<a/>", {"data": "<a/>"}),
        ("text/plain; charset=utf-8", b"hello", {"data": "hello"}),
        ("text/plain", b"\xff", {"data_base64": "/w=="}),
        ("text/plain; charset=iso-8859-1", b"\xe9", {"data_base64": "6Q=="}),
        ("application/octet-stream", b"abc", {"data_base64": "YWJj"}),
        (JSON, b"", {}),
    ],
)
def test_data_follows_the_content_type(kind: str, body: bytes, expected: dict[str, Any]) -> None:
    made = event(webhook("x"), body, kind)
    typed = {"datacontenttype": kind} if kind else {}
    names = ("data", "data_base64", "datacontenttype")
    assert {name: made[name] for name in names if name in made} == typed | expected


def test_a_multipart_form_is_an_object_with_files_in_it() -> None:
    made = event(webhook("x", id="$.id"), MULTIPART, "multipart/form-data; boundary=b")
    assert (made["id"], made["datacontenttype"]) == ("7", "multipart/form-data")
    assert made["data"] == {
        "id": "7",
        "list": {"filename": "a.csv", "content_type": "text/csv", "content": "a,b"},
        "photo": {
            "filename": "a.png",
            "content_type": "image/png",
            "content_base64": base64.b64encode(b"\x89\xff").decode(),
        },
    }


def test_a_step_may_change_the_fields_of_a_form() -> None:
    form = Event.from_json(json.dumps(event(webhook("x"), b"a=1", FORM)).encode())
    form.data["b"] = "2"
    assert Event.from_json(form.to_json()).data == {"a": "1", "b": "2"}


def test_every_attribute_may_come_from_a_field_a_header_or_the_query() -> None:
    source = webhook(
        "github",
        type=from_header("X-GitHub-Event"),
        id=from_header("X-GitHub-Delivery"),
        subject="$.repository.full_name",
        time="$.at",
        key=from_query("shard"),
        source="https://github.com",
    )
    made = event(
        source,
        b'{"repository": {"full_name": "a/b"}, "at": "2020-01-01T00:00:00+02:00"}',
        headers={"X-GitHub-Event": "push", "X-GitHub-Delivery": "d-1"},
        query="shard=7&x=1",
    )
    names = ("type", "id", "subject", "time", "partitionkey", "source")
    assert [made[name] for name in names] == [
        *("push", "d-1", "a/b", "2020-01-01T00:00:00+02:00", "7", "https://github.com")
    ]


def test_a_form_field_is_a_field() -> None:
    source = webhook("x", id="$.id", subject="$.tag[1]")
    made = event(source, b"id=5&tag=a&tag=b", FORM)
    assert (made["id"], made["subject"]) == ("5", "b")


@pytest.mark.parametrize(
    ("given", "time"),
    [
        (b"1577836800", "2020-01-01T00:00:00Z"),
        (b'"1577836800"', "2020-01-01T00:00:00Z"),
        (b"1577836800123", "2020-01-01T00:00:00.123000Z"),
    ],
)
def test_unix_time_is_accepted(given: bytes, time: str) -> None:
    assert event(webhook("x", time="$.t"), b'{"t": %b}' % given)["time"] == time


def test_invalid_time_is_refused() -> None:
    found = refusal(webhook("x", time="$.t"), b'{"t": "yesterday"}')
    assert (found.status, found.code) == (400, "invalid-events")
    assert "time is 'yesterday'; it must be an RFC 3339 timestamp" in found.faults[0].reason


def test_headers_and_parameters_are_kept_where_asked_for() -> None:
    source = webhook(
        "x", headers=["X-GitHub-Event", "X-Absent"], query=["page"], extensions={"shop": "$.shop"}
    )
    made = event(source, b'{"shop": 5}', headers={"X-GitHub-Event": "ping"}, query="page=2")
    assert (made["xgithubevent"], made["page"], made["shop"]) == ("ping", "2", "5")
    assert "xabsent" not in made


def test_a_header_is_read_as_utf_8_or_else_as_latin_1() -> None:
    source = webhook("x", subject=from_header("X-Name"))
    assert event(source, b"1", headers={"X-Name": "é"})["subject"] == "é"
    head = RequestHead("POST", "", "", [("x-name", b"\xe9")])
    received = source.open_receiver(1000).receive(SourceRequest(head, b"", NOW, 1000))
    assert isinstance(received, DecodedEvents)
    assert json.loads(received.raws[0])["subject"] == "é"


def test_ids_are_random_so_that_equal_bodies_are_different_events() -> None:
    source = webhook("x")
    assert event(source, b"1")["id"] != event(source, b"1")["id"]


@pytest.mark.parametrize("header", ["Idempotency-Key", "webhook-id"])
def test_repeat_header_becomes_the_id(header: str) -> None:
    assert event(webhook("x"), b"1", headers={header: "k-1"})["id"] == "k-1"
    assert event(webhook("x", id="$.id"), b'{"id": 7}', headers={header: "k-1"})["id"] == "7"


def test_an_array_is_split_on_request() -> None:
    body = b' [ {"id": 1, "x": 1.50} ,\n{"id": 2}, {"id": "[3]"} ] '
    assert event(webhook("x"), body)["data"][0] == {"id": 1, "x": 1.5}
    split = events(webhook("x", id="$.id", split=True), body)
    assert [one["id"] for one in split] == ["1", "2", "[3]"]
    received = receive(webhook("x", split=True), body)
    assert isinstance(received, DecodedEvents)
    assert received.raws[0].endswith(b'"data":{"id": 1, "x": 1.50}}')


def test_ndjson_is_split_on_request() -> None:
    split = events(
        webhook("x", id="$.id", split=True), b'{"id":1}\r\n\n {"id":2}', "application/jsonl"
    )
    assert [(one["id"], one["data"], one["datacontenttype"]) for one in split] == [
        ("1", {"id": 1}, JSON),
        ("2", {"id": 2}, JSON),
    ]


def test_split_events_append_an_index_to_the_request_id() -> None:
    headers = {"Idempotency-Key": "k"}
    split = events(webhook("x", split=True), b"[1,2]", headers=headers)
    assert [one["id"] for one in split] == ["k-0", "k-1"]


def test_an_empty_array_has_no_events() -> None:
    assert events(webhook("x", split=True), b" [ ] ") == []


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (b'{"total": 1}', "the object at $ has 'total'"),
        (b'{"order_id": null}', "that is null; send a string or a number"),
        (b'{"order_id": {}}', "that is an object; send a string or a number"),
        (b'{"order_id": ""}', "that is empty"),
        (b"[1]", "there is an array at $"),
    ],
)
def test_missing_id_names_source_path_and_actual_value(body: bytes, what: str) -> None:
    found = refusal(webhook("orders", id="$.order_id"), body)
    assert (found.status, found.code) == (400, "missing-value")
    assert found.detail == f"source 'orders': id is taken from $.order_id, but {what}"


def test_half_a_surrogate_pair_is_not_a_value() -> None:
    found = refusal(webhook("x", id="$.id", split=True), b'[{"id": "\\ud800"}]')
    assert "that is not valid Unicode: surrogates not allowed" in found.detail


def test_missing_value_names_the_content_type_without_fields() -> None:
    found = refusal(webhook("orders", id="$.order_id"), b"<a/>", "text/xml")
    assert (
        found.detail == "source 'orders': id is taken from $.order_id, but text/xml has no fields"
    )


def test_a_missing_header_or_parameter_is_named() -> None:
    found = refusal(webhook("x", type=from_header("X-Event")), b"1")
    assert found.detail.endswith(
        "type is taken from the header 'X-Event', but the request has none"
    )
    found = refusal(webhook("x", subject=from_query("shop")), b"1")
    assert "subject is taken from the query parameter 'shop'" in found.detail


def test_default_replaces_a_missing_value() -> None:
    source = webhook("x", subject=from_field("$.a", default="none"))
    assert event(source, b'{"a": null}')["subject"] == "none"


def test_an_empty_default_leaves_the_attribute_out() -> None:
    source = webhook("x", id=from_field("$.id", default=""), subject=from_header("X-S", default=""))
    made = event(source, b"{}")
    assert "subject" not in made
    assert made["id"]


def test_every_bad_event_of_a_split_body_is_listed() -> None:
    found = refusal(
        webhook("x", id="$.id", split=True), b'{"id":1}\n\n{}\n', "application/x-ndjson"
    )
    assert found.detail == "source 'x': 1 of 2 events lack a value; none was stored"
    assert [(fault.index, fault.line) for fault in found.faults] == [(1, 3)]


@pytest.mark.parametrize(
    ("kind", "body", "code"),
    [
        (JSON, b'{"a": 1', "invalid-events"),
        (JSON, b'1,"id":"injected"', "invalid-events"),
        (JSON, b"NaN", "invalid-events"),
        (JSON, b'"\xff"', "invalid-events"),
        (JSON, b"[" * 3000 + b"]" * 3000, "invalid-events"),
        (FORM, b"a=%FF", "malformed-body"),
        (FORM, b"a=\xff", "malformed-body"),
        (FORM, b"&".join(b"a=1" for _ in range(1001)), "malformed-body"),
        ("multipart/form-data", b"--b--", "malformed-body"),
        ("multipart/form-data; boundary=b", b"--c\r\n\r\n", "malformed-body"),
        ("no media type", b"1", "invalid-events"),
    ],
)
def test_body_contradicting_its_content_type_is_refused(kind: str, body: bytes, code: str) -> None:
    found = refusal(webhook("x"), body, kind)
    assert (found.status, found.code) == (400, code)


@pytest.mark.parametrize(
    "body", [b"[1,", b"[1 2]", b"[1] x", b"[1,]", b'["\xff"]', b"[" * 3000, b"[NaN]"]
)
def test_invalid_array_is_refused(body: bytes) -> None:
    found = refusal(webhook("x", split=True), body)
    assert (found.status, found.code) == (400, "malformed-body")


def test_a_bad_line_is_named() -> None:
    found = refusal(webhook("x", split=True), b"1\nx\n", "application/x-ndjson")
    assert "line 2: " in found.detail


def test_an_attribute_that_is_too_long_is_refused_with_its_line() -> None:
    body = b'{"id":1}\n{"id":"%b"}' % (b"x" * 2000)
    found = refusal(webhook("x", id="$.id", split=True), body, "application/x-ndjson")
    assert [(fault.index, fault.line) for fault in found.faults] == [(1, 2)]
    assert "id is 2000 characters long" in found.faults[0].reason


def test_event_over_the_size_limit_is_refused() -> None:
    for body in (b"x" * 1001, b"x" * 900):
        found = refusal(webhook("x"), body, "application/octet-stream", largest=1000)
        assert (found.status, found.code) == (413, "event-too-large")


def test_split_into_too_many_events_is_refused() -> None:
    found = refusal(webhook("x", split=True), b"[" + b"1," * 100_000 + b"1]", largest=1_000_000)
    assert (found.status, found.code) == (413, "too-many-events")


def test_a_body_may_not_be_all_blank_lines() -> None:
    found = refusal(webhook("x", split=True), b"\n" * 200_001, "application/x-ndjson")
    assert found.detail == "the body has more than 200,000 lines"


def test_path_below_the_address_returns_404() -> None:
    assert refusal(webhook("x"), b"1", path="/more").status == 404


@pytest.mark.parametrize(
    ("source", "what"),
    [
        (webhook("x", id="7"), "id is a constant"),
        (webhook("x", subject="$.a[*]"), "'$.a[*]' is not a path at '[*]'"),
        (webhook("x", type="busway.x"), "reserved for Busway's own events"),
        (webhook("x", time="noon"), "time is 'noon'"),
        (webhook("x", headers=["Authorization"]), "'Authorization' holds a secret"),
        (webhook("x", subject=from_header("Cookie")), "'Cookie' holds a secret"),
        (webhook("x", type=from_header("X Event")), "'X Event' is not a valid header name"),
        (webhook("x", query=["subject"]), "'subject' is reserved and cannot name an extension"),
        (webhook("x", headers=["X-A"], query=["xa"]), "would both be kept as 'xa'"),
        (webhook("x", extensions={"a-b": "1"}), "the attribute name 'a-b'"),
    ],
)
def test_invalid_declaration_raises_source_error(source: Webhook, what: str) -> None:
    with pytest.raises(SourceError) as raised:
        source.validate_config()
    assert what in str(raised.value)


def test_a_wrong_value_names_what_may_be_given() -> None:
    with pytest.raises(CallError) as raised:
        webhook("x", id=5)  # type: ignore[arg-type]
    given = 'from_field("$.path"), from_header("NAME"), from_query("NAME") or None'
    assert str(raised.value).endswith(given)
