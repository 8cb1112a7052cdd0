"""Paths into a decoded body, and what is said where they lead nowhere."""

from __future__ import annotations

import pytest

from busway.errors import SourceError
from busway.source.webhook.field_path import parse_path

BODY = {"order": {"lines": [{"id": "7"}, {"unit price": "2"}], "note": None}, "a.b": "dotted"}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("$", BODY),
        ("$.order.lines[0].id", "7"),
        ("$.order.lines[-1]['unit price']", "2"),
        ('$["a.b"]', "dotted"),
        ("$.order.note", None),
    ],
)
def test_a_path_leads_to_a_value(path: str, value: object) -> None:
    assert parse_path(path).find(BODY) == value


@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("$.total", "the object at $ has 'order', 'a.b'"),
        ("$.order.lines[5]", "the array at $.order.lines has 2 elements"),
        ("$.order.lines.id", "there is an array at $.order.lines"),
        ("$.order[0]", "there is an object at $.order"),
        ("$.order.note.x", "there is null at $.order.note"),
        ("$.order.lines[0].id.x", "there is a string or a number at $.order.lines[0].id"),
    ],
)
def test_a_path_that_leads_nowhere_says_what_is_there(path: str, what: str) -> None:
    with pytest.raises(LookupError) as raised:
        parse_path(path).find(BODY)
    assert str(raised.value) == what


def test_of_an_object_with_many_long_names_a_few_are_shown() -> None:
    with pytest.raises(LookupError) as raised:
        parse_path("$.x").find({f"{n}{'é' * 100}": 1 for n in range(9)})
    assert len(str(raised.value)) < 1500
    assert str(raised.value).endswith("and 4 more")
    assert str(raised.value).isascii()


@pytest.mark.parametrize(
    "path", ["$a", "$.", "$.a[*]", "$..a", "$.a[1:2]", "$['a]", "$.a b", "$[x]"]
)
def test_what_is_not_a_path_to_one_value_is_a_mistake(path: str) -> None:
    with pytest.raises(SourceError, match="is not a path at"):
        parse_path(path)
