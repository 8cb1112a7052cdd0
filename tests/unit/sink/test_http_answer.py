"""What ``Retry-After`` and a body come to."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from busway.sink.http_answer import excerpt, wait_s

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
    assert wait_s(text, NOW) == expected


def test_an_excerpt_is_one_printable_line() -> None:
    assert excerpt(b" a\r\n\tb \x1b[1m \xff ") == "a b [1m \N{REPLACEMENT CHARACTER}"
    assert len(excerpt(b"x" * 1000)) == 300
