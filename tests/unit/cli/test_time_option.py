"""Times as people give them to commands, on the clock of this machine."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from busway.cli.time_option import parse_time
from busway.errors import BuswayError

NOW = datetime(2026, 3, 30, 10, 30, tzinfo=UTC)
"""A Monday, 12:30 in Berlin, the day after its clocks were put forward."""


@pytest.fixture(autouse=True)
def berlin() -> Iterator[None]:
    before = os.environ.get("TZ")
    os.environ["TZ"] = "Europe/Berlin"
    time.tzset()
    yield
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("2026-03-01T12:00:00Z", "2026-03-01T12:00:00+00:00"),
        ("2026-03-01T12:00:00", "2026-03-01T12:00:00+01:00"),
        ("2026-03-01 12:00", "2026-03-01T12:00:00+01:00"),
        ("2026-03-01", "2026-03-01T00:00:00+01:00"),
        ("now", "2026-03-30T10:30:00+00:00"),
        ("today", "2026-03-30T00:00:00+02:00"),
        ("yesterday", "2026-03-29T00:00:00+01:00"),
        ("Yesterday 14:30", "2026-03-29T14:30:00+02:00"),
        ("yesterday at 14:30:15", "2026-03-29T14:30:15+02:00"),
        ("monday", "2026-03-30T00:00:00+02:00"),
        ("tue", "2026-03-24T00:00:00+01:00"),
        ("last sunday 09:00", "2026-03-29T09:00:00+02:00"),
        ("08:15", "2026-03-30T08:15:00+02:00"),
        ("2h", "2026-03-30T08:30:00+00:00"),
        ("2h ago", "2026-03-30T08:30:00+00:00"),
        ("1h 30m", "2026-03-30T09:00:00+00:00"),
        ("3 days ago", "2026-03-27T10:30:00+00:00"),
        ("90 minutes", "2026-03-30T09:00:00+00:00"),
        ("in 2h", "2026-03-30T12:30:00+00:00"),
    ],
)
def test_a_time_before_now(text: str, wanted: str) -> None:
    found = parse_time(text, NOW)
    assert found is not None
    assert found.isoformat() == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("2h", "2026-03-30T12:30:00+00:00"),
        ("tomorrow 08:00", "2026-03-31T08:00:00+02:00"),
        ("monday", "2026-04-06T00:00:00+02:00"),
        ("tuesday", "2026-03-31T00:00:00+02:00"),
        ("18:00", "2026-03-30T18:00:00+02:00"),
    ],
)
def test_a_time_ahead(text: str, wanted: str) -> None:
    found = parse_time(text, NOW, ahead=True)
    assert found is not None
    assert found.isoformat() == wanted


@pytest.mark.parametrize(
    "text",
    ["", " ", "soon", "25:00", "monday 8", "yesterday 2h", "-2h", "0000-01-01", "9" * 20 + "d"],
)
def test_what_is_not_a_time_is_refused_with_the_forms_there_are(text: str) -> None:
    with pytest.raises(BuswayError, match=r"is not a valid time; use one of: .* yesterday"):
        parse_time(text, NOW)
    with pytest.raises(BuswayError):
        parse_time(text, NOW, ahead=True)


def test_no_text_is_no_time() -> None:
    assert parse_time(None) is None
