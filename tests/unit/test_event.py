"""Data that was changed where it stands is the event's data, wherever the event goes."""

from __future__ import annotations

import math
import pickle
from typing import Any

import pytest

from busway import Event
from busway.errors import EventError
from busway.event import original_json, snapshot

HEAD = b'{"specversion": "1.0", "id": "e", "source": "/s", "type": "t", '
SPACED = HEAD + b'"data": {"n": 1.50, "s": "\\u00e9"}}'


def event() -> Event:
    return Event.from_json(SPACED)


def test_data_that_was_only_read_leaves_the_bytes_as_they_came() -> None:
    read = event()
    assert read.data == {"n": 1.5, "s": "é"}
    assert read.to_json() == SPACED


def test_a_change_goes_with_the_event() -> None:
    changed = event()
    changed.data["n"] = 2
    assert Event.from_json(changed.to_json()).data == {"n": 2, "s": "é"}
    assert changed.replace(type="u").data == {"n": 2, "s": "é"}
    assert pickle.loads(pickle.dumps(changed)).data == {"n": 2, "s": "é"}
    assert changed != event()
    assert original_json(changed) == SPACED


@pytest.mark.parametrize("value", [True, 1.0, "1", None, [1]])
def test_a_change_that_only_python_takes_for_none_is_one(value: object) -> None:
    changed = Event(type="t", source="/s", data={"n": 1})
    changed.data["n"] = value
    found = Event.from_json(changed.to_json()).data["n"]
    assert (type(found), found) == (type(value), value)


def test_data_that_becomes_what_is_inside_of_it_is_changed() -> None:
    changed = Event(type="t", source="/s", data={"data": {"a": 1}})
    inner = changed.data.pop("data")
    changed.data.update(inner)
    assert Event.from_json(changed.to_json()).data == {"a": 1}


def test_data_in_base64_that_is_changed_is_data() -> None:
    raw = HEAD + b'"datacontenttype": "application/json", "data_base64": "eyJhIjoxfQ=="}'
    changed = Event.from_json(raw)
    assert changed.data == {"a": 1}
    assert changed.to_json() == raw
    changed.data["a"] = 2
    assert Event.from_json(changed.to_json()).data == {"a": 2}


@pytest.mark.parametrize("value", [object(), math.inf, "\ud800"])
def test_a_change_that_json_cannot_say_is_an_error(value: object) -> None:
    changed = event()
    changed.data["n"] = value
    with pytest.raises(EventError):
        changed.to_json()


def test_a_snapshot_has_no_part_in_later_changes() -> None:
    changed = event()
    changed.data["n"] = 2
    before: Any = snapshot(changed)
    changed.data["n"] = 3
    assert before.data["n"] == 2
