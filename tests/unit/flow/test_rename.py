"""What a flow was called before."""

from __future__ import annotations

import pytest

from busway import App
from busway.errors import FlowError
from busway.flow import compile_app
from busway.sinks import console


def test_a_renamed_flow_keeps_its_old_names() -> None:
    app = App("shop")
    app.flow("orders", to=console(), renamed_from="big_orders")
    app.flow("others", to=console())
    orders, others = compile_app(app).flows
    assert (orders.renamed_from, others.renamed_from) == ("big_orders", "")
    assert (orders.original_name, others.original_name) == ("orders", "others")


@pytest.mark.parametrize(
    ("old", "fix"),
    [
        ("orders", "it is the flow's own name; remove it"),
        ("others", "invalid renamed_from 'others': a flow of this name is declared at line"),
        ("taken", "is renamed from 'taken' too; only one of them can be"),
        (5, "invalid renamed_from 5: use the previous name of the flow"),
        ("", "use the previous name of the flow"),
    ],
)
def test_an_invalid_rename_is_reported(old: object, fix: str) -> None:
    app = App("shop")
    app.flow("others", to=console(), renamed_from="taken")
    app.flow("orders", to=console(), renamed_from=old)
    with pytest.raises(FlowError, match=fix):
        compile_app(app)
