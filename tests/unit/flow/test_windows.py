"""Maintenance windows as a flow declares them."""

from __future__ import annotations

import pytest

from busway import App, Window
from busway.errors import FlowError
from busway.flow import compile_app
from busway.sinks import console


def test_declared_windows_are_kept_and_are_no_part_of_the_code_version() -> None:
    plain, resting = App("t"), App("t")
    window = Window("0 2 * * SUN", "2h", "Europe/Berlin")
    plain.flow("f", to=console())
    resting.flow("f", to=console(), windows=[window])
    (without,), (found,) = compile_app(plain).flows, compile_app(resting).flows
    assert found.windows == (window,)
    assert found.version == without.version


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("0 2 * * *", "use a list of windows"),
        (["0 2 * * *"], "invalid window of type str: use Window("),
        ([Window("0 2 * *", "2h")], "five fields"),
        (
            [Window("0 2 * * *", "2h", "Berlin")],
            "unknown time zone 'Berlin': did you mean 'Europe/Berlin'?",
        ),
    ],
)
def test_a_mistake_is_told_with_its_place(given: object, says: str) -> None:
    app = App("t")
    app.flow("f", to=console(), windows=given)
    with pytest.raises(FlowError, match=r"test_windows.py:\d+: flow 'f': windows: ") as error:
        compile_app(app)
    assert says in str(error.value)
