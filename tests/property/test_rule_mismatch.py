"""A pattern explains exactly the events that it does not match."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from busway.rule import Pattern

names = st.sampled_from(["a", "b", "c"])
leaf = st.sampled_from(
    [[1], [2], [1, {"exists": False}], [{"exists": True}], [{"anything-but": 1}]]
)
fields = st.dictionaries(names, leaf, min_size=1, max_size=3)
nested = st.dictionaries(names, leaf | fields, min_size=1, max_size=3)
sources = nested | st.tuples(nested, nested, nested).map(
    lambda parts: {**parts[0], "$or": [parts[1], parts[2]]}
)
values = st.recursive(
    st.sampled_from([1, 2, None]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)


@given(sources, st.dictionaries(names, values))
def test_an_explanation_is_there_when_there_is_no_match(
    source: dict[str, Any], event: dict[str, Any]
) -> None:
    pattern = Pattern.parse(source)
    found = pattern.explain(event)
    assert (found is None) == pattern.matches(event)
    assert found is None or str(found).endswith(".")
