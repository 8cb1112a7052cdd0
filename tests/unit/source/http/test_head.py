"""Heads: what they say, what they are refused for, and that they are remembered."""

from __future__ import annotations

import pytest

from busway.source.http.head import Head, Heads, read_head
from intake_client import request


def head(kind: str = "", *headers: str, line: str = "POST /events HTTP/1.1") -> Head:
    found = read_head(request(b"", kind, *headers, line=line))
    assert isinstance(found, Head)
    return found


@pytest.mark.parametrize(
    ("kind", "headers", "mode"),
    [
        ("application/cloudevents+json", (), "one"),
        ("Application/CloudEvents+JSON ; charset=UTF-8", (), "one"),
        ("application/cloudevents+json", ("ce-id: 1",), "one"),
        ("application/cloudevents-batch+json", (), "batch"),
        ("application/x-ndjson", (), "lines"),
        ("application/json", (), "either"),
        ("application/json", ("ce-id: 1",), "binary"),
        ("", ("CE-ID: 1",), "binary"),
        ("application/x-ndjson", ("ce-id: 1",), "binary"),
    ],
)
def test_mode(kind: str, headers: tuple[str, ...], mode: str) -> None:
    found = head(kind, *headers)
    assert (found.refusal, found.mode) == (None, mode)


def test_attributes_keep_their_bytes() -> None:
    found = head("text/plain; x=%41", "Ce-Id: a%20b", "ce-x:", "ce-y:  z\t")
    assert found.attributes == (("id", b"a%20b"), ("x", b""), ("y", b"z"))
    assert found.content_type == "text/plain; x=%41"


def test_same_bytes_are_parsed_once() -> None:
    heads, raw = Heads(), request(b"", "application/json")
    first = heads.read(raw)
    assert heads.known(raw) is first
    for n in range(2000):
        heads.read(request(b"", "application/json", f"X: {n}"))
    assert heads.known(raw) is None


def test_long_and_bad_heads_are_not_remembered() -> None:
    heads = Heads()
    long, bad = request(b"", "a/b", "X: " + "x" * 2000), b"nonsense\r\n\r\n"
    heads.read(long)
    heads.read(bad)
    assert heads.known(long) is heads.known(bad) is None


def test_route_is_the_path_alone() -> None:
    assert head(line="GET /metrics?x=/events HTTP/1.1").route == "metrics"
    assert head(line="POST http://a/events HTTP/1.1").route == "events"
    assert head(line="POST /x/events HTTP/1.1").route == "elsewhere"
