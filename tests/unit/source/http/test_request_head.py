"""Heads: what they say, what they are refused for, and that they are remembered."""

from __future__ import annotations

from busway.clock import SystemClock
from busway.source.http.request_head import HeadParser, ParsedHead, parse_head
from busway.source.http.route import SourceRoutes
from busway.source.mount import EventsOnly, mounted
from intake_client import request

SOURCES = SourceRoutes(mounted(EventsOnly(), 1000), SystemClock(), 1000)


def head(kind: str = "", *headers: str, line: str = "POST /events HTTP/1.1") -> ParsedHead:
    found = parse_head(request(b"", kind, *headers, line=line), SOURCES)
    assert isinstance(found, ParsedHead)
    return found


def test_a_source_gets_the_head_as_it_came() -> None:
    found = head("text/plain", "Ce-Id: a%20b", line="POST /events?a=%20&b HTTP/1.1")
    assert found.request is not None
    assert (found.request.method, found.request.path) == ("POST", "")
    assert found.request.query == "a=%20&b"
    assert ("ce-id", b"a%20b") in found.request.fields


def test_same_bytes_are_parsed_once() -> None:
    heads, raw = HeadParser(SOURCES), request(b"", "application/json")
    first = heads.parse(raw)
    assert heads.cached(raw) is first
    for n in range(2000):
        heads.parse(request(b"", "application/json", f"X: {n}"))
    assert heads.cached(raw) is None


def test_long_and_bad_heads_are_not_remembered() -> None:
    heads = HeadParser(SOURCES)
    long, bad = request(b"", "a/b", "X: " + "x" * 2000), b"nonsense\r\n\r\n"
    heads.parse(long)
    heads.parse(bad)
    assert heads.cached(long) is heads.cached(bad) is None


def test_route_is_the_path_alone() -> None:
    assert head(line="GET /metrics?x=/events HTTP/1.1").route == "metrics"
    assert head(line="POST http://a/events HTTP/1.1").route == "source"
    assert head(line="POST /x/events HTTP/1.1").route == "elsewhere"
