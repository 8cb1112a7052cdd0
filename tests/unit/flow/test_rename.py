"""What a flow was called before."""

from __future__ import annotations

import pytest

from busway import App
from busway.errors import FlowError
from busway.flow import compile_app
from busway.sinks import console


def test_a_flow_says_what_it_was_called() -> None:
    app = App("shop")
    app.flow("orders", to=console(), renamed_from="big_orders")
    app.flow("others", to=console())
    orders, others = compile_app(app).flows
    assert (orders.renamed_from, others.renamed_from) == ("big_orders", "")
    assert (orders.original_name, others.original_name) == ("orders", "others")


@pytest.mark.parametrize(
    ("old", "fix"),
    [
        ("orders", "is its own name; leave it out"),
        ("others", "'others', which is still declared at line"),
        ("taken", "is renamed from 'taken' too; only one can go on"),
        (5, "renamed_from is 5; give the name that the flow had before"),
        ("", "give the name that the flow had before"),
    ],
)
def test_a_renaming_that_cannot_be_is_told(old: object, fix: str) -> None:
    app = App("shop")
    app.flow("others", to=console(), renamed_from="taken")
    app.flow("orders", to=console(), renamed_from=old)
    with pytest.raises(FlowError, match=fix):
        compile_app(app)
