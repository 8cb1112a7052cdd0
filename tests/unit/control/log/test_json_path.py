"""JSON paths and regular expressions from outside: linear time, and a limit of work."""

from __future__ import annotations

import json
from typing import Any

import pytest

from busway.control.log.json_path import JsonPath, JsonPathLimitExceeded
from busway.control.log.where import (
    MAX_CHARACTERS,
    MAX_CONDITIONS,
    WhereCondition,
    all_conditions,
)
from busway.errors import BuswayError


def matches(text: str, data: Any) -> bool:
    return WhereCondition(text)(json.dumps({"id": "e1", "data": data}).encode())


def nested(depth: int) -> Any:
    found: Any = 1
    for _ in range(depth):
        found = [found]
    return found


@pytest.mark.parametrize("call", ["search(@.a, '^(a+)+$')", "match(@.a, '(a|aa)+')"])
def test_an_expression_that_backtracks_in_python_is_matched_at_once(call: str) -> None:
    assert not matches(f"data[?{call}]", [{"a": "a" * 100_000 + "!"}])


def test_the_literal_form_is_matched_by_re2_too() -> None:
    assert not matches("data[?@.a =~ /(a+)+/]", [{"a": "a" * 50_000 + "!"}])
    assert matches("data[?@.a =~ /(A|aa)+/i]", [{"a": "aaa"}])


def test_an_expression_from_the_event_that_is_not_valid_matches_nothing() -> None:
    data = [{"a": "x", "pattern": "(?=x)"}, {"a": "x", "pattern": "("}]
    assert not matches("data[?search(@.a, @.pattern)]", data)
    assert matches("data[?search(@.a, @.pattern)]", [*data, {"a": "x", "pattern": "x+"}])


@pytest.mark.parametrize("pattern", ["(?=x)", r"(a)\\1", "(", "((a{100}){10}){10}", "a" * 2_000])
def test_an_expression_in_the_path_that_is_not_valid_is_refused(pattern: str) -> None:
    with pytest.raises(BuswayError, match=r"regular expression|characters"):
        JsonPath(f"$.data[?search(@.a, '{pattern}')]")


@pytest.mark.parametrize("number", ["1e400", "-1e400", "1e99999999"])
def test_a_number_in_the_path_that_cannot_be_read_is_refused(number: str) -> None:
    with pytest.raises(BuswayError, match="number"):
        JsonPath(f"$.data[?@.a > {number}]")


@pytest.mark.parametrize(
    ("path", "data"),
    [
        ("$..*..*..*..*", nested(240)),
        ("$..*..*..*..*", [[[[[1] * 12] * 12] * 12] * 12] * 12),
        ("$.data[?@ in $.data]", list(range(20_000))),
        ("$.data[?@ == $.data[0]]", [list(range(2_000))] * 2_000),
        ("$.data[?search(@, '(a|b|c){1,200}x')]", ["abc" * 300_000]),
    ],
)
def test_a_path_that_looks_at_too_much_of_an_event_ends(path: str, data: Any) -> None:
    with pytest.raises(JsonPathLimitExceeded):
        JsonPath(path).find({"data": data})


@pytest.mark.parametrize("path", ["$..x", "$..*", "$.data[?@ > 5]", "$.data[0]"])
def test_a_plain_path_through_the_largest_event_is_within_the_limit(path: str) -> None:
    JsonPath(path).find({"data": list(range(150_000))})


def test_the_deepest_event_that_the_intake_takes_is_looked_through() -> None:
    assert JsonPath("$..*").find({"data": nested(256)})


@pytest.mark.parametrize("path", ["data[?@ in $.data]", "data[?$.data contains @]"])
def test_values_that_cannot_be_compared_are_different(path: str) -> None:
    assert not matches(path, {"a": {"b": 1}, "c": [[1]]})


def test_nodes_do_not_keep_the_keys_above_them() -> None:
    long = {"k" * 100_000: list(range(50_000))}
    assert len(JsonPath("$.data.*.*").find({"data": long})) == 50_000


@pytest.mark.parametrize("text", ["$..* & $..*", "data" + "[" * 900, "data[?" + "!" * 900 + "@.a]"])
def test_a_path_that_is_too_much_by_itself_is_refused(text: str) -> None:
    with pytest.raises(BuswayError, match="not a valid JSON path"):
        WhereCondition(text)


def test_long_paths_and_many_conditions_are_refused() -> None:
    with pytest.raises(BuswayError, match="characters"):
        WhereCondition("data[" + "?@.a&&" * MAX_CHARACTERS + "@.a]")
    with pytest.raises(BuswayError, match=f"at most {MAX_CONDITIONS}"):
        all_conditions(["data.a=1"] * (MAX_CONDITIONS + 1))
