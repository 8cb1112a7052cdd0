"""Alerts of a flows file: what they become, and all mistakes at once."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from busway import App
from busway.alerts import (
    backlog_age,
    breaker_open,
    dead_letters,
    disk_free,
    error_ratio,
    failing,
    log_size,
    new_dead_letters,
    silence,
)
from busway.delivery.alert_state import AlertThresholds
from busway.errors import FlowError
from busway.flow import compile_app, load_app
from busway.flow.alert import Alert
from busway.sinks import console, http

MISTAKES = """
from busway import App
from busway.alerts import *
from busway.sinks import console

app = App("wrong")
app.flow("orders", to=console())
app.alert("", dead_letters())
app.alert("a/b", dead_letters())
app.alert("condition", 5)
app.alert("flow", dead_letters(flow="order"))
app.alert("above", dead_letters(above=-1))
app.alert("hold", dead_letters(), hold="soon")
app.alert("option", dead_letters(), clear_bellow=1)
app.alert("side", dead_letters(), clear_above=1)
app.alert("band", parked(above=5), clear_below=6)
app.alert("falling", disk_free("10%"), clear_above="5%")
app.alert("size", disk_free("ten"))
app.alert("percent", disk_free("x%"))
app.alert("ratio", error_ratio(above=5))
app.alert("over", error_ratio(over=0))
app.alert("least", error_ratio(min_events=0))
app.alert("source", silence(source=""))
app.alert("destination", breaker_open(destination="consol"))
app.alert("both", breaker_open(flow="orders", destination="console"))
app.alert("twice", dead_letters())
app.alert("twice", dead_letters())
app.alert("..", dead_letters())
app.alert("stuck", parked())
"""
WANTED = {
    8: "invalid name: use one line of 1 to 100 characters",
    9: "invalid name: use one line of 1 to 100 characters without : or /",
    10: "invalid condition of type int: use one of busway.alerts",
    11: "unknown flow 'order': did you mean 'orders'?",
    12: "above: invalid number of events -1",
    13: "hold: invalid duration 'soon'",
    14: "did you mean 'clear_below'?",
    15: "clear_above does not apply to dead_letters; use clear_below",
    16: "clear_below is more than above",
    17: "clear_above is less than below",
    18: "below: invalid size 'ten'",
    19: "below: invalid share of the disk 'x%'",
    20: "above: invalid ratio 5",
    21: "over: invalid duration 0: use a duration > 0",
    22: "min_events: invalid number of events 0",
    23: "invalid source: use the source of the events",
    24: "unknown destination 'consol': did you mean 'console'?",
    25: "flow and destination exclude each other",
    27: "the alert at line 26 has the same name",
    28: "invalid name: it is part of a URL, where . and .. have a meaning",
    29: "invalid name: every flow has a built-in alert of this name",
}


def compiled(condition: object, **options: object) -> Alert:
    app = App("t")
    app.flow("orders", to=http("http://crm.example/orders"))
    app.alert("a", condition, **options)
    (alert,) = compile_app(app).alerts
    return alert


def test_all_mistakes_are_reported_with_location_and_fix(tmp_path: Path) -> None:
    file = tmp_path / "wrong_alerts.py"
    file.write_text(MISTAKES)
    with pytest.raises(FlowError) as caught:
        compile_app(load_app(str(file)))
    lines = str(caught.value).splitlines()
    mistakes = {int(line.removeprefix(f"{file}:").partition(": alert ")[0]): line for line in lines}
    assert mistakes.keys() == WANTED.keys()
    assert len(lines) == len(WANTED)
    for line, text in WANTED.items():
        assert text in mistakes[line]


def test_thresholds_have_units() -> None:
    assert compiled(dead_letters(flow="orders", above=2)).band == AlertThresholds(2.0, 2.0)
    assert compiled(backlog_age(above="5m"), clear_below="1m", hold="30s").band == AlertThresholds(
        300.0, 60.0, 30.0, 30.0
    )
    assert compiled(silence("/shop", after="1h"), hold="1m", clear_hold=0).band == AlertThresholds(
        3600.0, 3600.0, 60.0, 0.0
    )
    assert compiled(disk_free("10%"), clear_above="15%").band == AlertThresholds(
        10.0, 15.0, is_lower_bound=True
    )
    assert compiled(disk_free("5 GB")).band == AlertThresholds(5e9, 5e9, is_lower_bound=True)
    assert compiled(log_size("1GiB"), clear_below="500MB").band == AlertThresholds(2.0**30, 5e8)
    assert compiled(breaker_open("orders")).band == AlertThresholds(0.0, 0.0)


def test_disk_free_is_a_percentage_or_bytes() -> None:
    assert compiled(disk_free("10%")).unit == "percent"
    assert compiled(disk_free(10)).unit == "bytes"


def test_an_alert_is_repeated_only_if_declared() -> None:
    assert compiled(dead_letters("orders"), repeat_every="1h").repeat_every_s == 3600.0
    assert compiled(dead_letters("orders")).repeat_every_s == 0.0


def test_new_dead_letters_and_failing_have_a_window() -> None:
    fresh = compiled(new_dead_letters("orders", above=3, within="1h"))
    assert (fresh.band.raise_at, fresh.window_s) == (3.0, 3600.0)
    alert = compiled(failing("orders", above=0.2, over="1m", min_events=5))
    assert (alert.band.raise_at, alert.window_s, alert.min_events) == (0.2, 60.0, 5)


def test_a_ratio_has_a_window() -> None:
    alert = compiled(error_ratio("orders", above=0.1, over="1m", min_events=20))
    assert (alert.band.raise_at, alert.window_s, alert.min_events) == (0.1, 60.0, 20)


@pytest.mark.parametrize(
    "destination", [http("http://crm.example/orders"), "http http://crm.example/orders"]
)
def test_a_destination_is_a_sink_or_its_name(destination: object) -> None:
    alert = compiled(breaker_open(destination=destination))
    assert alert.destination == "http http://crm.example/orders"


def test_an_alert_has_the_location_of_its_declaration() -> None:
    app = App("t")
    app.flow("orders", to=console())
    app.alert("a", dead_letters())
    (alert,) = compile_app(app).alerts
    assert re.fullmatch(rf"{re.escape(__file__)}:\d+", alert.location)
