"""JSON says a value exactly, or it is refused."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import pytest

from busway.json_text import DuplicateKeys, check_keys, encode_json


def circle() -> list[Any]:
    found: list[Any] = []
    found.append(found)
    return found


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        {"a": [1, (math.inf,)]},
        {"a": Decimal("NaN")},
        [Decimal("-Infinity")],
        circle(),
        object(),
        "\ud800",
        {(1, 2): 3},
        {1: 2, "1": 3},
        {1.5: 2, "1.5": 3},
    ],
)
def test_what_json_cannot_say_is_refused(value: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        encode_json(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": None, "b": "NaN", "c": 1.5}, b'{"a":null,"b":"NaN","c":1.5}'),
        ([Decimal("1.10"), "Infinity"], b'[1.10,"Infinity"]'),
        (2**70, b"1180591620717411303424"),
    ],
)
def test_what_it_can_say_is_said(value: object, text: bytes) -> None:
    assert encode_json(value) == text


@pytest.mark.parametrize("value", [{"a": [{1: 2, "1": 3}]}, [({"b": {2.5: 1, "2.5": 2}},)]])
def test_keys_of_which_json_makes_one_are_found_at_any_depth(value: object) -> None:
    with pytest.raises(DuplicateKeys, match="are equal in JSON"):
        check_keys(value)


@pytest.mark.parametrize("value", [{"a": [{1: 2, "2": 3}]}, {1: {2: 3}}, [object()], {(1,): 2}])
def test_other_keys_are_no_matter(value: object) -> None:
    check_keys(value)
