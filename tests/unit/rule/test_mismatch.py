"""What a user reads when an event did not come."""

from __future__ import annotations

from typing import Any

import pytest

from busway.rule import Mismatch, Pattern

ITEMS = {"items": [{"sku": "a", "n": 1}, {"sku": "b", "n": 2}]}


@pytest.mark.parametrize(
    ("pattern", "event", "expected"),
    [
        (
            {"data": {"total": [{"numeric": [">", 100]}]}},
            {"data": {"total": 7}},
            '$.data.total wants [{"numeric":[">",100]}], but the event has 7.',
        ),
        (
            {"type": ["a"], "data": {"x": [1]}},
            {"type": "b"},
            '$.type wants ["a"], but the event has "b".',
        ),
        ({"x": [1]}, {"x": {"y": 1}}, "$.x wants [1], but the event has no value there."),
        (
            {"tags": ["a"]},
            {"tags": ["b", "c", "d", "e"]},
            '$.tags wants ["a"], but the event has "b", "c", "d" and 1 more.',
        ),
        (
            {"detail": {"x": [1]}},
            {"specversion": "1.0", "data": {"x": None}},
            "$.detail.x wants [1], but the event has null.",
        ),
        (
            {"items": {"sku": ["a"], "n": [2]}},
            ITEMS,
            '$.items.sku wants ["a"], but the event has "a", "b", in other array elements '
            "than the values of the other fields.",
        ),
        (
            {"a": [1], "$or": [{"x": [1]}, {"y": [{"exists": True}]}]},
            {"a": 1, "x": 2},
            "No branch of $or matches: $.$or[0].x wants [1], but the event has 2; "
            '$.$or[1].y wants [{"exists":true}], but the event has no value there.',
        ),
        (
            {"a": [1], "$or": [{"x": [1]}, {"y": [1]}]},
            {"a": 2},
            "$.a wants [1], but the event has 2.",
        ),
        ({"x": ["y"]}, {"x": "z" * 200}, f'$.x wants ["y"], but the event has "{"z" * 79}….'),
    ],
)
def test_an_event_that_does_not_match_is_explained_in_a_sentence(
    pattern: dict[str, Any], event: dict[str, Any], expected: str
) -> None:
    assert str(Pattern.parse(pattern).explain(event)) == expected


def test_an_event_that_matches_needs_no_explanation() -> None:
    assert Pattern.parse({"items": {"sku": ["a"], "n": [1]}}).explain(ITEMS) is None
    assert Pattern.parse({"$or": [{"a": [1]}, {"b": [1]}]}).explain({"b": 1}) is None


def test_the_parts_of_an_explanation_can_be_read_one_by_one() -> None:
    assert Pattern.parse({"a": {"b": ["x"]}}).explain({"a": [{"b": 1}, {"b": None}]}) == Mismatch(
        place="$.a.b", clause='["x"]', found=(1, None)
    )
    found = Pattern.parse({"$or": [{"a": [1]}, {"b": [1]}]}).explain({})
    assert found is not None
    assert [branch.place for branch in found.branches] == ["$.$or[0].a", "$.$or[1].b"]
    assert found.clause == '{"$or":[{"a":[1]},{"b":[1]}]}'


def test_many_ways_through_or_are_not_all_told() -> None:
    found = Pattern.parse({"$or": [{f"f{n}": [1]} for n in range(9)]}).explain({})
    assert str(found).endswith("; and 6 more.")
