"""Whole patterns on whole events: fields, arrays, $or, the two forms of names."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from busway.errors import EventError
from busway.rule import Pattern, PatternError

VECTORS = Path(__file__).parents[4] / "shared/data/vectors/patterns.json"

BIG = {f"a{n}": [{"x": n}] for n in range(3)}
ITEMS = {"items": [{"sku": "a", "qty": 1}, {"sku": "b", "qty": 2}]}
NESTED = {"a": [{"b": [{"x": 1, "y": 1}, {"x": 2, "y": 2}]}, {"b": [{"x": 3, "y": 3}]}]}

CASES: list[tuple[dict[str, Any], dict[str, Any], bool]] = [
    ({"a": [1], "b": [2]}, {"a": 1, "b": 2}, True),
    ({"a": [1], "b": [2]}, {"a": 1, "b": 3}, False),
    ({"a": [1], "b": [2]}, {"a": 1}, False),
    ({"a": {"b": {"c": ["x"]}}}, {"a": {"b": {"c": "x"}}}, True),
    ({"a": {"b": ["x"]}}, {"a": "x"}, False),
    ({"a": ["x"]}, {"a": {"x": 1}}, False),
    # names with dots are the same as nesting, on both sides
    ({"a.b": ["x"]}, {"a": {"b": "x"}}, True),
    ({"a": {"b": ["x"]}}, {"a.b": "x"}, True),
    ({"a": {"b.c": ["x"]}}, {"a.b": {"c": "x"}}, True),
    ({"a.b": {"b": ["x"]}}, {"a": {"b": "x"}}, False),
    ({"a": {"b": [1]}, "a.b": [2]}, {"a": {"b": 2}}, True),
    # arrays: any element
    ({"a": ["x", "y"]}, {"a": ["z", "y"]}, True),
    ({"a": ["x"]}, {"a": []}, False),
    ({"a": ["x"]}, {"a": [["y", "x"]]}, True),
    ({"a": [{"anything-but": "x"}]}, {"a": ["x"]}, False),
    ({"a": [{"anything-but": "x"}]}, {"a": ["x", "y"]}, True),
    # existence is about leaves
    ({"a": [{"exists": True}]}, {"a": None}, True),
    ({"a": [{"exists": True}]}, {"a": {"b": 1}}, False),
    ({"a": [{"exists": False}]}, {"a": {"b": 1}}, True),
    ({"a": [{"exists": False}]}, {"a": []}, True),
    ({"a": [{"exists": False}]}, {"a": [None]}, False),
    ({"a": {"b": [{"exists": False}]}}, {}, True),
    ({"a": ["x", {"exists": False}]}, {"a": "x"}, True),
    ({"a": ["x", {"exists": False}]}, {"a": "y"}, False),
    # array consistency: fields of one element, not of several
    ({"items": {"sku": ["a"], "qty": [1]}}, ITEMS, True),
    ({"items": {"sku": ["a"], "qty": [2]}}, ITEMS, False),
    ({"items": {"sku": ["a"], "qty": [2, {"exists": False}]}}, ITEMS, False),
    ({"items": {"qty": [1], "tag": [{"exists": False}]}}, ITEMS, True),
    (
        {"items": {"qty": [1], "sku": [{"exists": False}]}},
        {"items": [{"qty": 1}, {"sku": 1}]},
        True,
    ),
    ({"items": {"a": [{"exists": False}], "q": [1]}}, {"items": [{"q": 1}, {"a": 1}]}, False),
    ({"a": {"b": {"x": [2], "y": [2]}}}, NESTED, True),
    ({"a": {"b": {"x": [1], "y": [2]}}}, NESTED, False),
    ({"a": {"b": {"x": [1], "y": [3]}}}, NESTED, False),
    ({"a0": {"x": [0]}, "a1": {"x": [1]}, "a2": {"x": [2]}}, BIG, True),
    ({"a": [1], "a.b": [2]}, {"a": [1, {"b": 2}]}, True),
    ({"a": {"x": [1], "y": [2]}}, {"a": [[{"x": 1}], [{"y": 2}]]}, False),
    ({"a": {"x": [1], "y": [2]}}, {"a": [[{"x": 1, "y": 2}]]}, True),
    # $or
    ({"$or": [{"a": [1]}, {"b": [2]}]}, {"b": 2}, True),
    ({"$or": [{"a": [1]}, {"b": [2]}]}, {"a": 2, "b": 1}, False),
    ({"c": [3], "$or": [{"a": [1]}, {"b": [2]}]}, {"a": 1}, False),
    ({"d": {"$or": [{"a": [1]}, {"b": [2], "c": [3]}]}}, {"d": {"b": 2, "c": 3}}, True),
    ({"$or": [{"a": [1]}, {"$or": [{"b": [1]}, {"c": [1]}]}]}, {"c": 1}, True),
    ({"a": [1], "$or": [{"a": [2]}, {"b": [1]}]}, {"a": 2}, True),
    ({"a": [1], "$or": [{"a": [2]}, {"b": [1]}]}, {"a": 1}, False),
    ({"$or": [{"prefix": "x"}, {"suffix": "y"}]}, {"$or": "xa"}, True),
    ({"$or": ["x", "y"]}, {"$or": "y"}, True),
    ({"$or": {"a": [1]}}, {"$or": {"a": 1}}, True),
]


@pytest.mark.parametrize(("pattern", "event", "expected"), CASES)
def test_a_pattern_matches_what_eventbridge_matches(
    pattern: dict[str, Any], event: dict[str, Any], expected: bool
) -> None:
    assert Pattern.parse(pattern).matches(event) is expected
    assert Pattern.parse(json.dumps(pattern)).matches(json.loads(json.dumps(event))) is expected


CLOUDEVENT = {"specversion": "1.0", "type": "t", "source": "/s", "data": {"n": 1}}
EVENTBRIDGE = {"detail-type": "t", "source": "/s", "detail": {"n": 1}}


@pytest.mark.parametrize("event", [CLOUDEVENT, EVENTBRIDGE])
@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ({"type": ["t"], "data": {"n": [1]}}, True),
        ({"detail-type": ["t"], "detail": {"n": [1]}}, True),
        ({"detail.n": [1]}, True),
        ({"data.n": [2]}, False),
        ({"type": ["t"], "detail": {"n": [1]}}, True),
        ({"detail": {"m": [{"exists": False}]}}, True),
        ({"detail-type": [{"exists": False}]}, False),
        ({"type": [{"exists": False}]}, False),
    ],
)
def test_a_pattern_in_either_form_matches_an_event_in_either_form(
    event: dict[str, Any], pattern: dict[str, Any], expected: bool
) -> None:
    assert Pattern.parse(pattern).matches(event) is expected


@pytest.mark.parametrize(
    ("pattern", "event"),
    [
        ({"detail": {"n": [1]}}, {"specversion": "1.0", "detail": {}, "data": {"n": 1}}),
        ({"data": {"n": [1]}}, {"detail-type": "t", "data": 0, "detail": {"n": 1}}),
        ({"detail": {"n": [1]}}, {"data": {"n": 1}}),
        ({"type": ["t"]}, {"detail-type": "t", "specversion": "1.0"}),
    ],
)
def test_a_name_that_the_event_has_or_an_event_of_no_form_is_taken_literally(
    pattern: dict[str, Any], event: dict[str, Any]
) -> None:
    assert not Pattern.parse(pattern).matches(event)


def too_many() -> dict[str, Any]:
    ten = {"$or": [{f"f{n}": [n]} for n in range(11)]}
    return {"a": ten, "b": ten, "c": ten}


def too_deep() -> dict[str, Any]:
    pattern: dict[str, Any] = {"a": [1]}
    for _ in range(101):
        pattern = {"a": pattern}
    return pattern


@pytest.mark.parametrize(
    ("pattern", "place", "reason"),
    [
        ({}, "$", "an empty object"),
        ([1], "$", "a JSON object"),
        ("[1]", "$", "a JSON object"),
        ("{'a': 1}", "$", "not JSON"),
        ('{"a": [1e999]}', "$", "not JSON"),
        ({"a": 1}, "$.a", "must be a list, [1]"),
        ({"a": None}, "$.a", "[null]"),
        ({"a": []}, "$.a", '{"exists": true}'),
        ({"a": {}}, "$.a", "an empty object"),
        ({1: ["x"]}, "$", "invalid name 1: use a string"),
        ({"a": {"b c": [{"numeric": 1}]}}, '$.a["b c"][0].numeric', "a list"),
        ({"$or": [{"a": [1]}]}, "$.$or", "two or more objects"),
        ({"$or": [{"a": [1]}, [1]]}, "$.$or[1]", "a JSON object"),
        ({"$or": [{"a": [1]}, {"numeric": [1]}]}, "$.$or[1]", "'numeric' is an operator"),
        ({"d": {"$or": [{"a": [1]}, {"b": 1}]}}, "$.d.$or[1].b", "must be a list"),
        ({"a": ["\ud800"]}, "$", "cannot write it as JSON"),
        (too_many(), "$.c.$or", "more than 1000"),
        (too_deep(), "$" + ".a" * 101, "levels"),
    ],
)
def test_an_invalid_pattern_is_rejected_with_location_and_reason(
    pattern: Any, place: str, reason: str
) -> None:
    with pytest.raises(PatternError) as caught:
        Pattern.parse(pattern)
    assert caught.value.path == place
    assert reason in caught.value.reason


@pytest.mark.parametrize("event", ["text", ["a"], None, 1])
def test_an_event_that_is_no_object_is_an_error(event: Any) -> None:
    with pytest.raises(EventError):
        Pattern.parse({"a": [1]}).matches(event)


def test_patterns_are_equal_and_hashed_by_their_json_and_do_not_change() -> None:
    one, same, other = (Pattern.parse(text) for text in ({"a": [1]}, b'{"a":[1]}', '{"a":[2]}'))
    assert one == same
    assert one != other
    assert one != {"a": [1]}
    assert len({one, same, other}) == 2
    with pytest.raises(AttributeError):
        one.branches = ()
    one.source["a"].append(2)
    assert one.source == {"a": [1]}
    assert eval(repr(one)) == one
    assert pickle.loads(pickle.dumps(one)) == one


def test_a_duplicate_name_in_the_text_counts_by_its_last_list() -> None:
    assert Pattern.parse('{"a": ["x"], "a": ["y"]}').matches({"a": "y"})


def test_many_elements_in_unrelated_arrays_do_not_multiply() -> None:
    names = "abcdefgh"
    event = {name: [{"x": n, "y": n} for n in range(300)] for name in names}
    pattern: dict[str, Any] = {
        name: {"x": [{"exists": True}], "y": [{"exists": True}]} for name in names
    }
    assert Pattern.parse(pattern).matches(event)
    pattern["h"]["z"] = [1]
    assert not Pattern.parse(pattern).matches(event)


def test_an_event_as_deep_as_its_decoder_allows_is_matched() -> None:
    event: Any = 1
    for _ in range(5000):
        event = [event]
    assert Pattern.parse({"a": [1]}).matches({"a": event})


def vectors() -> list[Any]:
    return json.loads(VECTORS.read_text()) if VECTORS.exists() else []


def outcome(vector: dict[str, Any]) -> object:
    try:
        return Pattern.parse(vector.get("pattern_text") or vector["pattern"]).matches(
            vector["event"]
        )
    except PatternError:
        return "exception"
    except EventError:
        return "event-error"


@pytest.mark.skipif(not VECTORS.exists(), reason="the collected vectors are not here")
def test_every_collected_vector_has_its_answer() -> None:
    wrong = [v["name"] for v in vectors() if outcome(v) != v["expected"]]
    assert wrong == []
