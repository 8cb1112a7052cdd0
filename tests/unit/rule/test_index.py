"""What the index promises beyond saying what the patterns say (see the property tests)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

import busway.rule
from busway.errors import EventError
from busway.rule import Pattern, RuleIndex


def test_the_public_surface_is_four_names() -> None:
    assert busway.rule.__all__ == ["Mismatch", "Pattern", "PatternError", "RuleIndex"]


def index(*sources: dict[str, Any]) -> RuleIndex:
    return RuleIndex([Pattern.parse(source) for source in sources])


def cloudevent(**fields: Any) -> bytes:
    return msgspec.json.encode({"specversion": "1.0", "type": "t", "source": "/s", **fields})


def test_the_numbers_of_the_matching_patterns_come_ascending_and_once() -> None:
    rules = index(
        {"type": ["t"]},
        {"type": ["u"]},
        {"$or": [{"type": ["t"]}, {"source": ["/s"]}]},
        {"$or": [{"type": ["u"]}, {"source": ["/s"]}]},
        {"detail-type": ["t"]},
    )
    assert rules.match(cloudevent()) == (0, 2, 3, 4)
    assert rules.match_batch([cloudevent(type="u"), cloudevent(source="/x")]) == [
        (1, 2, 3),
        (0, 2, 4),
    ]


def test_many_matches_are_found_as_few_are() -> None:
    rules = index(*({"type": ["t" if n % 3 else "u"]} for n in range(100)))
    assert rules.match(cloudevent()) == tuple(n for n in range(100) if n % 3)


def test_no_patterns_match_nothing() -> None:
    assert RuleIndex([]).match(cloudevent()) == ()


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b'"text"',
        b"{} {}",
        b'{"type": "\xff"}',
        b'{"type": 1e999}',
        b'{"type": ' + b"[" * 10_000 + b"]" * 10_000 + b"}",
    ],
)
def test_what_is_no_json_object_in_utf8_is_one_kind_of_error(raw: bytes) -> None:
    with pytest.raises(EventError, match="not the JSON of an event"):
        index({"type": ["t"]}).match(raw)


def test_patterns_that_tables_cannot_take_are_matched_all_the_same() -> None:
    rules = index(
        {"data": {'quoted"name': [1]}},
        {"data": {"x": [1]}, "detail": {"x": [2]}},
        {"$or": [{"data": {"x": [n]}} for n in range(200)]},
        {"data": {"x": [1]}},
    )
    assert rules.match(cloudevent(data={"x": [1, 2], 'quoted"name': 1})) == (0, 1, 2, 3)
    assert rules.match(cloudevent(data={"x": 150})) == (2,)


def test_names_with_dots_in_the_event_are_found() -> None:
    rules = index({"data": {"customer": {"id": [1]}}}, {"data": {"é": {"n": [1]}}})
    assert rules.match(cloudevent(**{"data.customer": {"id": 1}})) == (0,)
    assert rules.match(cloudevent(data={"customer.id": 1})) == (0,)
    assert rules.match(b'{"specversion":"1.0","data":{"customer\\u002eid":1}}') == (0,)
    assert rules.match(b'{"specversion":"1.0","data":{"\\u00e9.n":1}}') == (1,)


def test_fields_of_different_elements_do_not_combine() -> None:
    rules = index({"data": {"items": {"sku": ["a"], "n": [2]}}}, {"data": {"items": {"n": [2]}}})
    items = [{"sku": "a", "n": 1}, {"sku": "b", "n": 2}]
    assert rules.match(cloudevent(data={"items": items})) == (1,)
