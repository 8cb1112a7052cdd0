"""Attributes that a rule asks for and no event has: refused, or said with the likely one."""

from __future__ import annotations

from typing import Any

import pytest

from busway import App
from busway.errors import FlowError
from busway.flow import CompiledApp, compile_app
from busway.sinks import console


def compiled(when: dict[str, Any]) -> CompiledApp:
    app = App("t")
    app.flow("f", when=when, to=console())
    return compile_app(app)


@pytest.mark.parametrize(
    ("when", "says"),
    [
        ({"Type": ["a"]}, "no event has an attribute 'Type'; did you mean 'type'?"),
        ({"partition_key": ["a"]}, "did you mean 'partitionkey'?"),
        ({"orderTotal": [1]}, "its fields are below 'data'"),
        ({"$or": [{"type": ["a"]}, {"Source": ["b"]}]}, "did you mean 'source'?"),
        ({"type": [{"prefx": "order."}]}, "there is no operator 'prefx'; did you mean 'prefix'?"),
        ({"data": {"n": [{"numerc": [">", 1]}]}}, "did you mean 'numeric'?"),
        ({"type": [{"zzz": 1}]}, "there is no operator 'zzz'; the operators are "),
    ],
)
def test_a_name_that_cannot_be_is_refused(when: dict[str, Any], says: str) -> None:
    with pytest.raises(FlowError) as caught:
        compiled(when)
    assert says in str(caught.value)


@pytest.mark.parametrize(("name", "near"), [("typ", "type"), ("sorce", "source"), ("dta", "data")])
def test_an_extension_that_is_nearly_an_attribute_is_a_caution(name: str, near: str) -> None:
    (caution,) = compiled({name: ["a"]}).warnings
    assert caution.endswith(
        f"flow 'f': when: {name!r} can only be an extension of events; did you mean {near!r}?"
    )
    assert "test_compile_rule.py:" in caution


@pytest.mark.parametrize(
    "when",
    [
        {"type": ["a"], "tenant": ["b"], "data": {"anyThing_at-all": [1]}},
        {"detail-type": ["a"], "detail": {"total": [1]}, "account": ["1"], "resources": ["r"]},
        {"data.total": [1], "partitionkey": ["x"], "datacontenttype": ["text/plain"]},
    ],
)
def test_attributes_and_extensions_are_taken_as_they_are(when: dict[str, Any]) -> None:
    assert compiled(when).warnings == ()
