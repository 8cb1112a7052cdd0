"""What ``Retry-After`` and a body come to."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from busway.outcome import Retry
from busway.sink.http.response import (
    HttpResponse,
    decompressed,
    excerpt,
    outcome_of,
    retry_after_seconds,
    status_of,
)

NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, None),
        ("", None),
        ("0", 0.0),
        (" 120 ", 120.0),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("²", None),
        ("9" * 400, 999_999_999_999.0),
        ("Sat, 21 Nov 2026 12:01:30 GMT", 90.0),
        ("Sat, 21 Nov 2026 11:00:00 GMT", 0.0),
        ("Sat, 99 Nov 2026 11:00:00 GMT", None),
    ],
)
def test_retry_after(text: str | None, expected: float | None) -> None:
    assert retry_after_seconds(text, NOW) == expected


def test_a_time_to_retry_after_is_by_the_clock_of_whoever_answers() -> None:
    at, date = "Sat, 21 Nov 2026 15:00:30 GMT", "Sat, 21 Nov 2026 15:00:00 GMT"
    assert outcome_of(HttpResponse(500, b"", at, None, date), NOW) == Retry("http 500", "", 30.0)
    assert outcome_of(HttpResponse(500, b"", at, None, "soon"), NOW) == Retry(
        "http 500", "", 10_830.0
    )


def test_an_excerpt_is_one_printable_line() -> None:
    assert excerpt(b" a\r\n\tb \x1b[1m \xff ") == "a b [1m \N{REPLACEMENT CHARACTER}"
    assert len(excerpt(b"x" * 1000)) == 300


@given(st.text() | st.binary().map(lambda raw: raw.decode("utf-8", "surrogateescape")))
def test_any_header_and_body_can_be_judged(text: str) -> None:
    retry_after_seconds(text, NOW)
    decompressed(text.encode("utf-8", "surrogateescape"), text, 100)
    for status in (200, 302, 410, 418, 429, 500, 503):
        verdict = outcome_of(HttpResponse(status, b"", text, text, text), NOW)
        msgspec.json.encode(verdict)


@pytest.mark.parametrize(
    ("beginning", "status"),
    [
        (b"HTTP/1.1 200 OK\r\n", 200),
        (b"HTTP/1.1 200 OK", None),
        (b"HTTP/1.0 503\n", 503),
        (b"\r\nHTTP/2 204 \r\nx", 204),
        (b"ICY 200 OK\r\n", None),
        (b"HTTP/1.1 2000 OK\r\n", None),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 No\r\n", 404),
        (b"HTTP/1.1 100 Continue\r\nX: y\r\n", None),
        (b"HTTP/1.1 101 Switching\r\n", 101),
        (b"hello", None),
        (b"", None),
    ],
)
def test_the_status_of_an_answer_that_is_not_valid(beginning: bytes, status: int | None) -> None:
    assert status_of(beginning) == status
