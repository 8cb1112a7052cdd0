"""Numbers of JSON keep their digits."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busway.errors import EventError
from busway.event import Event
from busway.json_number import exact_decoder, parse_number

decode = exact_decoder(object)
LITERALS = st.from_regex(
    r"-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,3})?", fullmatch=True
)


@pytest.mark.parametrize(
    ("literal", "found"),
    [
        ("19.90", 19.9),
        ("0.30000000000000004", 0.30000000000000004),
        ("1e2", 100.0),
        ("-0.0", -0.0),
        ("12345678901234567.89", Decimal("12345678901234567.89")),
        ("1e400", Decimal("1e400")),
        ("1e-400", Decimal("1e-400")),
        ("0.1000000000000000000000001", Decimal("0.1000000000000000000000001")),
    ],
)
def test_is_a_float_where_that_has_all_digits(literal: str, found: object) -> None:
    decoded = parse_number(literal)
    assert (type(decoded), repr(decoded)) == (type(found), repr(found))


@given(literal=LITERALS, padding=st.sampled_from([0, 5_000]))
def test_no_digit_is_lost_in_a_text_of_any_size(literal: str, padding: int) -> None:
    decoded = decode(json.dumps("x" * padding).join(["[", f",{literal}]"]).encode())
    assert isinstance(decoded, list)
    assert Decimal(repr(decoded[1]) if isinstance(decoded[1], float) else decoded[1]) == Decimal(
        literal
    )


def test_an_exponent_beyond_all_bounds_is_the_fault_of_its_event() -> None:
    raw = b'{"specversion":"1.0","id":"1","source":"/s","type":"t","data":1e99999999999999999999}'
    with pytest.raises(EventError, match="exponent"):
        _ = Event.from_json(raw).data


def test_an_event_that_is_changed_keeps_the_digits_of_the_rest() -> None:
    raw = (
        b'{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{"n":12345678901234567.89}}'
    )
    event = Event.from_json(raw)
    assert event.data["n"] == Decimal("12345678901234567.89")
    assert b'"n":12345678901234567.89' in event.replace(subject="x").to_json()
    assert event.replace(data=event.data).data == event.data
    assert event.to_json() == raw
