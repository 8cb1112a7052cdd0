"""Invalid attribute names in a rule are rejected, probably misspelt ones give a warning."""

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
        ({"Type": ["a"]}, "unknown attribute 'Type': did you mean 'type'?"),
        ({"partition_key": ["a"]}, "did you mean 'partitionkey'?"),
        ({"orderTotal": [1]}, "fields of the payload are below 'data'"),
        ({"$or": [{"type": ["a"]}, {"Source": ["b"]}]}, "did you mean 'source'?"),
        ({"type": [{"prefx": "order."}]}, "unknown operator 'prefx': did you mean 'prefix'?"),
        ({"data": {"n": [{"numerc": [">", 1]}]}}, "did you mean 'numeric'?"),
        ({"type": [{"zzz": 1}]}, "unknown operator 'zzz': use one of "),
    ],
)
def test_an_invalid_name_is_rejected(when: dict[str, Any], says: str) -> None:
    with pytest.raises(FlowError) as caught:
        compiled(when)
    assert says in str(caught.value)


@pytest.mark.parametrize(("name", "near"), [("typ", "type"), ("sorce", "source"), ("dta", "data")])
def test_a_probably_misspelt_attribute_gives_a_warning(name: str, near: str) -> None:
    (warning,) = compiled({name: ["a"]}).warnings
    assert warning.endswith(
        f"flow 'f': when: {name!r} is not a standard attribute; did you mean {near!r}?"
    )
    assert "test_compile_rule.py:" in warning


@pytest.mark.parametrize(
    "when",
    [
        {"type": ["a"], "tenant": ["b"], "data": {"anyThing_at-all": [1]}},
        {"detail-type": ["a"], "detail": {"total": [1]}, "account": ["1"], "resources": ["r"]},
        {"data.total": [1], "partitionkey": ["x"], "datacontenttype": ["text/plain"]},
    ],
)
def test_valid_attributes_and_extensions_give_no_warning(when: dict[str, Any]) -> None:
    assert compiled(when).warnings == ()
