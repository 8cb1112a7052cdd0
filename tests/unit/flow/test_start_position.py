"""Where a new flow begins."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from busway import App
from busway.errors import FlowError, SettingsError
from busway.flow import compile_app
from busway.flow.start_position import parse_start_position
from busway.sinks import console

AT = datetime(2026, 3, 1, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("end", "end"),
        ("beginning", "beginning"),
        ("2026-03-01T08:00:00Z", AT),
        ("2026-03-01T09:00:00+01:00", AT),
        (AT, AT),
        (AT.astimezone(timezone(timedelta(hours=5))), AT),
    ],
)
def test_start_positions_are_parsed(given: object, wanted: object) -> None:
    assert parse_start_position(given) == wanted
    app = App("shop")
    app.flow("orders", to=console(), start=given)
    assert compile_app(app).flows[0].start == wanted


@pytest.mark.parametrize(
    ("given", "fix"),
    [
        ("middle", "use 'end', 'beginning' or a time like"),
        ("2026-03-01", "use 'end', 'beginning' or a time like"),
        (5, "use 'end', 'beginning' or a time like"),
        (None, "use 'end', 'beginning' or a time like"),
        ("2026-03-01T08:00:00", "add a time zone"),
        (AT.replace(tzinfo=None), "add a time zone"),
    ],
)
def test_an_invalid_start_is_reported(given: object, fix: str) -> None:
    with pytest.raises(SettingsError, match=fix):
        parse_start_position(given)
    app = App("shop")
    app.flow("orders", to=console(), start=given)
    with pytest.raises(FlowError, match=fix):
        compile_app(app)
