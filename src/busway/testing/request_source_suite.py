"""What every source must do that receives requests."""
# ruff: noqa: S101

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest
from msgspec.structs import replace

from busway.event import Event
from busway.ports import (
    AnswersAccepted,
    AppendReceipt,
    DecodedEvents,
    PreparesDecoders,
    Received,
    RequestAnswer,
    RequestHead,
    RequestReceiver,
    RequestRefusal,
    RequestSource,
    SourceRequest,
)
from busway.testing.hostile_body import CONTENT_TYPES, HOSTILE_BODIES, damaged
from busway.testing.source_suite import CODE, SourceSuite, check_events

RECEIVED_AT = datetime(2030, 1, 1, 12, 30, 15, 123456, tzinfo=UTC)
MAX_EVENT_BYTES = 1024 * 1024
_HOSTILE_FIELDS: Sequence[tuple[str, bytes]] = (
    ("x-empty", b""),
    ("x-latin", b"\xe9\xff"),
    ("x-long", b"x" * 5_000),
    ("ce-id", b"%zz%ff"),
    ("ce-time", b"yesterday"),
    ("ce-", b"x"),
    ("content-type", b"text/plain"),
)
_HOSTILE_PATHS = ("/", "/..", "/%00", "/a/b/" + "c" * 2_000, "/\xe9")
_HOSTILE_QUERIES = ("=", "&&", "a=%ff&a=%zz", "a" * 5_000, "a=1;b=2&a")


def source_request(
    body: bytes, content_type: str = "application/json", **headers: str
) -> SourceRequest:
    """Return a POST of a body; a header's name is written with ``_`` in place of ``-``."""
    fields = [("content-type", content_type)]
    fields += [(name.replace("_", "-").lower(), value) for name, value in headers.items()]
    encoded = [(name, value.encode()) for name, value in fields]
    head = RequestHead(method="POST", path="", query="", fields=encoded)
    return SourceRequest(head, body, RECEIVED_AT, MAX_EVENT_BYTES)


class RequestSourceSuite(SourceSuite):
    """What holds for any source that the intake server hands requests to."""

    has_stable_ids: ClassVar[bool] = True
    """Whether a request that is repeated gives events with the same ids."""

    @abstractmethod
    def accepted(self) -> Sequence[SourceRequest]:
        """Return requests of which the source makes events."""

    def refused(self) -> Sequence[SourceRequest]:
        """Return requests that the source refuses."""
        return ()

    @pytest.fixture
    def receiver(self, tmp_path: Path) -> RequestReceiver:
        source = self.declare(tmp_path)
        assert isinstance(source, RequestSource)
        return source.open_receiver(MAX_EVENT_BYTES)

    def test_its_methods_are_those_of_http(self, tmp_path: Path) -> None:
        source = self.declare(tmp_path)
        assert isinstance(source, RequestSource)
        assert source.methods
        assert all(method.isalpha() and method.isupper() for method in source.methods)
        assert {request.head.method for request in self.accepted()} <= {*source.methods}

    def test_a_request_becomes_events_that_are_valid(self, receiver: RequestReceiver) -> None:
        for request in self.accepted():
            received = receiver.receive(request)
            assert events_of(received), received

    def test_the_events_of_a_request_have_ids_of_their_own(self, receiver: RequestReceiver) -> None:
        for request in self.accepted():
            events = events_of(receiver.receive(request))
            assert len({(event["source"], event["id"]) for event in events}) == len(events)

    def test_a_repeated_request_becomes_the_same_events(
        self, receiver: RequestReceiver, tmp_path: Path
    ) -> None:
        """Whoever receives it, and whatever came before it."""
        source = self.declare(tmp_path)
        assert isinstance(source, RequestSource)
        first = [self._events(receiver.receive(request)) for request in self.accepted()]
        for other in (receiver, source.open_receiver(MAX_EVENT_BYTES)):
            for request in reversed([*self.accepted(), *self.refused()]):
                other.receive(request)
            assert [self._events(other.receive(one)) for one in self.accepted()] == first

    def test_several_threads_receive_at_a_time(self, receiver: RequestReceiver) -> None:
        requests = [*self.accepted()] * 20
        with ThreadPoolExecutor(4) as threads:
            received = [self._events(each) for each in threads.map(receiver.receive, requests)]
        assert received == [self._events(receiver.receive(one)) for one in self.accepted()] * 20

    def test_a_prepared_decoder_returns_the_same(self, receiver: RequestReceiver) -> None:
        if not isinstance(receiver, PreparesDecoders):
            return
        for request in self.accepted():
            decode = receiver.prepare(request.head)
            assert not isinstance(decode, RequestRefusal)
            for _ in range(2):
                events = self._events(decode(request.body))
                assert events == self._events(receiver.receive(request))
        for request in self.refused():
            decode = receiver.prepare(request.head)
            refusal = decode if isinstance(decode, RequestRefusal) else decode(request.body)
            assert refusal == receiver.receive(request)

    def test_a_refusal_has_a_reason_for_people_and_for_programs(
        self, receiver: RequestReceiver
    ) -> None:
        for request in self.refused():
            refusal = receiver.receive(request)
            assert isinstance(refusal, RequestRefusal)
            assert 400 <= refusal.status < 500
            check_received(refusal)
            assert refusal == receiver.receive(request)

    def test_the_answer_to_what_is_durable_is_a_success(self, receiver: RequestReceiver) -> None:
        if not isinstance(receiver, AnswersAccepted):
            return
        for request in self.accepted():
            for receipt in (AppendReceipt(1, 0), AppendReceipt(0, 1)):
                assert 200 <= receiver.accepted(request.head, receipt).status < 300

    @pytest.mark.parametrize("name", HOSTILE_BODIES)
    def test_no_body_makes_it_raise(self, receiver: RequestReceiver, name: str) -> None:
        codes = set()
        for request in self.accepted():
            codes |= _codes(receiver, replace(request, body=HOSTILE_BODIES[name]))
        for content_type in CONTENT_TYPES:
            hostile = _sent_as(self.accepted()[0], content_type)
            codes |= _codes(receiver, replace(hostile, body=HOSTILE_BODIES[name]))
        assert len(codes) <= len(CONTENT_TYPES), "a source has a few fixed codes"

    def test_no_damage_to_a_body_makes_it_raise(self, receiver: RequestReceiver) -> None:
        for request in self.accepted():
            for body in damaged(request.body):
                check_received(receiver.receive(replace(request, body=body)))

    def test_no_head_makes_it_raise(self, receiver: RequestReceiver) -> None:
        for request in self.accepted():
            for head in _hostile_heads(request.head):
                check_received(receiver.receive(replace(request, head=head)))

    def _events(self, received: Received) -> list[dict[str, Any]]:
        events = events_of(received)
        if self.has_stable_ids:
            return events
        return [{name: event[name] for name in event if name != "id"} for event in events]


def events_of(received: Received) -> list[dict[str, Any]]:
    """Return the members of the events in what a source received; it is checked."""
    check_received(received)
    if isinstance(received, DecodedEvents):
        return check_events(map(Event.from_json, received.raws))
    if isinstance(received, RequestAnswer | RequestRefusal):
        return []
    return check_events(received)


def check_received(received: Received) -> None:
    """Check that what a source returned is what the port allows."""
    if isinstance(received, RequestRefusal):
        assert 400 <= received.status < 600
        assert CODE.fullmatch(received.code)
        assert received.title
        assert received.detail
        assert msgspec.json.decode(received.document())["status"] == received.status
    elif isinstance(received, RequestAnswer):
        assert 200 <= received.status < 600
    elif isinstance(received, DecodedEvents):
        for raw, envelope in zip(received.raws, received.envelopes, strict=True):
            (event,) = check_events([Event.from_json(raw)])
            for name in ("id", "source", "subject", "partitionkey"):
                assert getattr(envelope, name) == event.get(name)
    else:
        assert all(isinstance(event, Event) for event in received)


def _codes(receiver: RequestReceiver, request: SourceRequest) -> set[str]:
    received = receiver.receive(request)
    check_received(received)
    return {received.code} if isinstance(received, RequestRefusal) else set()


def _sent_as(request: SourceRequest, content_type: str | None) -> SourceRequest:
    fields = [field for field in request.head.fields if field[0] != "content-type"]
    if content_type is not None:
        fields.append(("content-type", content_type.encode()))
    return replace(request, head=replace(request.head, fields=fields))


def _hostile_heads(head: RequestHead) -> Iterator[RequestHead]:
    yield replace(head, fields=[])
    yield replace(head, fields=[*head.fields, *head.fields])
    for field in _HOSTILE_FIELDS:
        yield replace(head, fields=[*head.fields, field])
    for number in range(len(head.fields)):
        name, value = head.fields[number]
        for changed in (b"", b"\xff", value + b"\xff", value[:-1]):
            fields = [*head.fields]
            fields[number] = (name, changed)
            yield replace(head, fields=fields)
    for path in _HOSTILE_PATHS:
        yield replace(head, path=path)
    for query in _HOSTILE_QUERIES:
        yield replace(head, query=query)
