"""How a body is decoded is decided by the head: content type, or ``ce-`` headers."""

from __future__ import annotations

import pytest

from busway.ports import DecodedEvents, Received, RequestHead, RequestRefusal
from busway.source.cloudevents.source import CloudEventsReceiver
from intake_client import event


def received(body: bytes, kind: str, *fields: tuple[str, bytes], path: str = "") -> Received:
    typed = (("content-type", kind.encode()),) if kind else ()
    head = RequestHead("POST", path, "", (*typed, *fields))
    decode = CloudEventsReceiver(10_000).prepare(head)
    return decode if isinstance(decode, RequestRefusal) else decode(body)


BINARY = (("ce-id", b"1"), ("ce-source", b"/s"), ("ce-type", b"t"), ("ce-specversion", b"1.0"))


@pytest.mark.parametrize(
    ("kind", "body", "count"),
    [
        ("application/cloudevents+json", event(), 1),
        ("Application/CloudEvents+JSON ; charset=UTF-8", event(), 1),
        ("application/cloudevents-batch+json", b"[%b,%b]" % (event(1), event(2)), 2),
        ("application/x-ndjson", event(1) + b"\n" + event(2), 2),
        ("application/json", event(), 1),
        ("application/json", b"[%b]" % event(), 1),
    ],
)
def test_a_content_type_says_how_events_are_cut(kind: str, body: bytes, count: int) -> None:
    found = received(body, kind)
    assert isinstance(found, DecodedEvents)
    assert len(found.raws) == len(found.envelopes) == count


@pytest.mark.parametrize("kind", ["", "application/json", "application/x-ndjson", "text/plain"])
def test_headers_make_one_event_of_any_other_body(kind: str) -> None:
    found = received(b"1", kind, *BINARY)
    assert isinstance(found, DecodedEvents)
    assert [envelope.id for envelope in found.envelopes] == ["1"]


def test_structured_mode_wins_over_headers() -> None:
    found = received(event(7), "application/cloudevents+json", *BINARY)
    assert isinstance(found, DecodedEvents)
    assert [envelope.id for envelope in found.envelopes] == ["e7"]


def test_attributes_keep_their_bytes() -> None:
    found = received(b"", "", *BINARY, ("ce-x", b""), ("ce-y", b"a%20b"))
    assert isinstance(found, DecodedEvents)
    assert b'"x":"","y":"a b"' in found.raws[0]


def test_path_below_the_address_returns_404() -> None:
    found = received(event(), "application/json", path="/more")
    assert isinstance(found, RequestRefusal)
    assert found.status == 404
