"""``--where`` as people write it."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busway.control.log.where import WhereCondition, all_conditions
from busway.errors import BuswayError


def raw(data: Any, **more: Any) -> bytes:
    return json.dumps({"id": "e1", "type": "made", "data": data} | more).encode()


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("data.id=4711", {"id": 4711}),
        ("$.data.id=4711", {"id": 4711}),
        ("data.id=4711", {"id": "4711"}),
        ("data.id=4711", {"id": 4711.0}),
        ("data.id=1500", {"id": 1.5e3}),
        ("data.id=1.5e3", {"id": 1500}),
        ("data.id=-0", {"id": 0}),
        ("data.id = 4711", {"id": 4711}),
        ('data.id="4711"', {"id": "4711"}),
        ("data.paid=true", {"paid": True}),
        ("data.name=Zoë", {"name": "Zoë"}),
        ('data.name="a\\"b"', {"name": 'a"b'}),
        ("data.name=", {"name": ""}),
        ("data.when=null", {"when": None}),
        ("data.lines[*].id=7", {"lines": [{"id": 1}, {"id": 7}]}),
        ("data.lines[?@.n > 2]", {"lines": [{"n": 3}]}),
        ("data.lines[?@.name == 'a=b'].id=1", {"lines": [{"name": "a=b", "id": 1}]}),
        ("data.name=a=b", {"name": "a=b"}),
        ("$..id=9", {"deep": [{"id": 9}]}),
        ("data.tags=[1,2]", {"tags": [1, 2]}),
        ("type=made", {}),
        ("data.id", {"id": None}),
    ],
)
def test_where_matches_a_value_at_the_path(text: str, data: Any) -> None:
    assert WhereCondition(text)(raw(data))


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("data.id=4711", {"id": 47110}),
        ("data.id=1", {"id": True}),
        ("data.paid=true", {"paid": 1}),
        ('data.id="4711"', {"id": 4711}),
        ("data.id=4711", {"other": 4711}),
        ("data.id", {"other": 1}),
        ("data.id.deeper", {"id": 1}),
        ("data.lines[?@.n > 2]", {"lines": [{"n": 1}]}),
    ],
)
def test_where_does_not_match_a_missing_value(text: str, data: Any) -> None:
    assert not WhereCondition(text)(raw(data))


def test_data_in_base64_is_looked_into_when_it_is_json() -> None:
    body = {"datacontenttype": "application/json", "id": "1", "source": "/s", "type": "t"}
    body["data_base64"] = base64.b64encode(b'{"id": 4711}').decode()
    assert WhereCondition("data.id=4711")(json.dumps(body).encode())


def test_where_does_not_match_invalid_events() -> None:
    assert not WhereCondition("data.id")(b"\xff{")
    assert not WhereCondition("data.id=1")(b'["data.id=1"]')


@pytest.mark.parametrize("text", ["", "=1", "$.data[", "data..[?"])
def test_an_invalid_path_is_rejected(text: str) -> None:
    with pytest.raises(BuswayError, match="where"):
        WhereCondition(text)


def test_all_of_several_must_match() -> None:
    both = all_conditions(["data.a=1", "data.b=2"])
    assert both(raw({"a": 1, "b": 2}))
    assert not both(raw({"a": 1, "b": 3}))


numbers = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
values: st.SearchStrategy[Any] = st.one_of(st.none(), st.booleans(), numbers, st.text())


@given(values, st.booleans())
def test_may_match_is_never_false_for_a_match(value: Any, ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    where = WhereCondition(f"data.v={json.dumps(value)}")
    event = b'{"id": "1", "data": {"v": ' + text + b"}}"
    try:
        text.decode()
    except UnicodeDecodeError:
        return
    if isinstance(value, str) and any("\ud800" <= char <= "\udfff" for char in value):
        return
    assert where(event)
