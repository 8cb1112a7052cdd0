"""The package's surface, and small parts of it."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from pathlib import Path

from busway.ports import EventFault, RequestRefusal
from busway.settings import Settings
from busway.source import http
from busway.source.cloudevents.binary_mode import decode_attribute
from busway.source.data_member import is_text_type
from busway.source.http import IntakeLimits
from busway.source.http.content_encoding import decompress
from busway.source.http.response import http_date
from busway.source.refusal import invalid_events


def test_surface() -> None:
    assert http.__all__ == [
        "IntakeConfig",
        "IntakeLimits",
        "IntakeServer",
        "RequestObserver",
        "SourceRoute",
    ]


def test_limits_come_from_the_settings() -> None:
    settings = Settings(data=Path("x"), max_body_bytes=1, max_event_bytes=2)
    limits = IntakeLimits.of(settings)
    assert (limits.max_body_bytes, limits.max_event_bytes) == (1, 2)
    assert limits.max_in_flight_bytes == settings.max_in_flight_bytes
    assert limits.max_in_flight_requests == settings.max_in_flight_requests


def test_defaults_are_those_of_the_settings() -> None:
    assert IntakeLimits.of(Settings()) == IntakeLimits()


def test_date() -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert http_date(at) == b"Fri, 02 Jan 2026 03:04:05 GMT"


def test_attribute_values() -> None:
    assert decode_attribute(b"Euro%20%E2%82%AC") == "Euro €"
    assert decode_attribute(b'"say \\"hi\\""') == 'say "hi"'
    assert decode_attribute(b'"') == '"'


def test_text_types() -> None:
    assert is_text_type("TEXT/csv; header=present; charset=UTF-8")
    assert is_text_type("image/svg+xml")
    assert not is_text_type("application/octet-stream")
    assert not is_text_type('text/html; charset="iso-8859-1"')


def test_limit_is_exact() -> None:
    packed = gzip.compress(b"x" * 1000)
    assert decompress("gzip", packed, 1000) == b"x" * 1000
    refused = decompress("gzip", packed, 999)
    assert isinstance(refused, RequestRefusal)
    assert refused.status == 413


def test_problem_document() -> None:
    document = invalid_events([EventFault(2, "bad", line=4)], 3).document()
    assert b'"errors":[{"index":2,"reason":"bad","line":4}]' in document
    assert b'"detail":"1 of 3 events rejected; none was stored"' in document
    assert b'"more"' not in document
