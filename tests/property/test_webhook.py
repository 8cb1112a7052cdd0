"""Whatever is posted to a webhook: events that are valid and hold what came, or a refusal."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from hypothesis import given, settings
from hypothesis import strategies as st

from busway.event import Event
from busway.ports import DecodedEvents, Received, RequestHead, RequestRefusal, SourceRequest
from busway.source.webhook.source import Webhook
from busway.sources import from_field, from_header, from_query, webhook

NOW = datetime(2020, 2, 3, tzinfo=UTC)
KINDS = (
    *("", "application/json", "application/vnd.x+json", "application/x-ndjson", "text/plain"),
    *(
        "text/xml; charset=utf-8",
        "text/csv; charset=latin1",
        "application/octet-stream",
        "x",
        "a/b;",
    ),
    *("application/x-www-form-urlencoded", "multipart/form-data; boundary=b"),
)
SOURCES = (
    webhook("plain"),
    webhook("split", split=True),
    webhook("field", id="$.id", subject=from_field("$.a[0]", default="-"), time="$.time"),
    webhook("each", id="$.id", split=True, headers=["X-Kept"], query=["page"]),
    webhook("rest", type=from_header("X-Type"), key=from_query("key")),
)
LIMIT = 2_000

text = st.text(st.characters(codec="utf-8"), max_size=20)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=12,
)
objects = st.dictionaries(st.sampled_from(["id", "a", "time", "x"]), values)
documents = st.one_of(values, objects, st.lists(objects, max_size=4))


def receive(source: Webhook, body: bytes, kind: str, **headers: str) -> Received:
    fields = [("content-type", kind.encode())] if kind else []
    fields += [(name.replace("_", "-"), value.encode()) for name, value in headers.items()]
    head = RequestHead("POST", "", "key=k&page=2", fields)
    return source.open_receiver(LIMIT).receive(SourceRequest(head, body, NOW, LIMIT))


def decoded(received: Received) -> list[Event]:
    """Return the events; each has to be one that the bus accepts."""
    assert isinstance(received, DecodedEvents), received
    events = [Event.from_json(raw) for raw in received.raws]
    for event, envelope in zip(events, received.envelopes, strict=True):
        assert (event.id, event.source) == (envelope.id, envelope.source)
        assert len(event.to_json()) <= LIMIT
    return events


@given(
    source=st.sampled_from(SOURCES),
    body=st.binary(max_size=300) | st.builds(lambda d: json.dumps(d).encode(), documents),
    kind=st.sampled_from(KINDS),
    headers=st.fixed_dictionaries(
        {}, optional={"x_type": text, "x_kept": text, "webhook_id": text}
    ),
)
@settings(max_examples=1_000, deadline=None)
def test_anything_is_valid_events_or_a_refusal(
    source: Webhook, body: bytes, kind: str, headers: dict[str, str]
) -> None:
    received = receive(source, body, kind, **headers)
    if isinstance(received, RequestRefusal):
        assert 400 <= received.status < 500
        assert received.detail
        assert json.loads(received.document())["status"] == received.status
        return
    for event in decoded(received):
        assert (event.source, event.time is None) == (f"/in/{source.name}", False)
        assert event.data is event.data


@given(document=documents)
def test_json_arrives_as_it_was_written(document: Any) -> None:
    body = json.dumps(document, ensure_ascii=False, indent=1).encode()
    received = receive(SOURCES[0], body, "application/json")
    if isinstance(received, RequestRefusal):
        assert received.code == "event-too-large"
        return
    (event,) = decoded(received)
    assert body in event.to_json()
    assert json.loads(event.to_json())["data"] == document


@given(items=st.lists(values, max_size=6), lines=st.booleans())
def test_a_split_body_has_an_event_for_each_item_in_order(items: list[Any], lines: bool) -> None:
    written = [json.dumps(item) for item in items]
    body = "\r\n\n".join(written) if lines else f" [{' , '.join(written)}]\n"
    kind = "application/x-ndjson" if lines else "application/json"
    events = decoded(receive(SOURCES[1], body.encode(), kind))
    assert [json.loads(event.to_json())["data"] for event in events] == items
    assert len({event.id for event in events}) == len(items)


@given(pairs=st.lists(st.tuples(text, text), min_size=1, max_size=8))
def test_a_form_keeps_every_value_of_every_field(pairs: list[tuple[str, str]]) -> None:
    body = urlencode(pairs).encode()
    received = receive(SOURCES[0], body, "application/x-www-form-urlencoded")
    (event,) = decoded(received)
    kept = [
        (name, value)
        for name, held in event.data.items()
        for value in (held if isinstance(held, list) else [held])
    ]
    assert sorted(kept) == sorted(pairs)


@given(body=st.binary(max_size=300))
def test_bytes_arrive_as_they_were_sent(body: bytes) -> None:
    (event,) = decoded(receive(SOURCES[0], body, "application/octet-stream"))
    assert (event.data or b"") == body
