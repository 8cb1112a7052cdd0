"""The package's surface, and small parts of it."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from pathlib import Path

from busway.ports import EventFault, RequestRefusal
from busway.settings import Settings
from busway.source import http
from busway.source.http import Limits
from busway.source.http.answer import http_date
from busway.source.http.binary import attribute_value, is_text
from busway.source.http.coding import inflate
from busway.source.http.problem import invalid


def test_surface() -> None:
    assert http.__all__ == ["IntakeConfig", "IntakeServer", "Limits", "Observer", "SourceRoute"]


def test_limits_come_from_the_settings() -> None:
    settings = Settings(data=Path("x"), max_body_bytes=1, max_event_bytes=2)
    limits = Limits.of(settings)
    assert (limits.max_body_bytes, limits.max_event_bytes) == (1, 2)
    assert limits.max_in_flight_bytes == settings.max_in_flight_bytes
    assert limits.max_in_flight_requests == settings.max_in_flight_requests


def test_defaults_are_those_of_the_settings() -> None:
    assert Limits.of(Settings()) == Limits()


def test_date() -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert http_date(at) == b"Fri, 02 Jan 2026 03:04:05 GMT"


def test_attribute_values() -> None:
    assert attribute_value(b"Euro%20%E2%82%AC") == "Euro €"
    assert attribute_value(b'"say \\"hi\\""') == 'say "hi"'
    assert attribute_value(b'"') == '"'


def test_text_types() -> None:
    assert is_text("TEXT/csv; header=present; charset=UTF-8")
    assert is_text("image/svg+xml")
    assert not is_text("application/octet-stream")
    assert not is_text('text/html; charset="iso-8859-1"')


def test_limit_is_exact() -> None:
    packed = gzip.compress(b"x" * 1000)
    assert inflate("gzip", packed, 1000) == b"x" * 1000
    refused = inflate("gzip", packed, 999)
    assert isinstance(refused, RequestRefusal)
    assert refused.status == 413


def test_problem_document() -> None:
    document = invalid([EventFault(2, "bad", line=4)], 3).document()
    assert b'"errors":[{"index":2,"reason":"bad","line":4}]' in document
    assert b'"detail":"1 of 3 events cannot be taken; none was stored"' in document
    assert b'"more"' not in document
