"""What the intake refuses beyond CloudEvents: values too long, and Busway's own names."""

from __future__ import annotations

import json
from typing import Any

import pytest

from busway.attribute import (
    MAX_EXTENSION_LENGTH,
    MAX_LENGTHS,
    MAX_NAME_LENGTH,
    intake_problems,
)
from busway.ports import DecodedEvents, RequestRefusal
from busway.source.decode import decode_array, decode_ndjson, decode_one

LARGE = 1_000_000
LIMITS = {**MAX_LENGTHS, "traceparent": MAX_EXTENSION_LENGTH, "tenant": MAX_EXTENSION_LENGTH}
RESERVED_TYPES = ["busway.alert.raised", "busway.", "Busway.x", "BUSWAY.X", "bu\u017fway.x"]
FREE_TYPES = ["busway", "buswayish.x", "com.busway.x", " busway.x"]


def members(**changed: Any) -> dict[str, Any]:
    return {"specversion": "1.0", "id": "1", "source": "/s", "type": "t", **changed}


def read_everywhere(**changed: Any) -> list[DecodedEvents | RequestRefusal]:
    """Read an event alone, in an array and as a line, plain and with an extension of its own."""
    found: list[DecodedEvents | RequestRefusal] = []
    for more in ({}, {"tenant": "a"}, {"data": "\0"}):
        body = json.dumps(members(**(more | changed))).encode()
        found += [
            decode_one(body, LARGE),
            decode_array(b"[" + body + b"]", LARGE),
            decode_ndjson(body, LARGE),
        ]
    return found


def reason_of(**changed: Any) -> str:
    """Return the one reason for which an event is refused in every form."""
    reasons = set()
    for found in read_everywhere(**changed):
        assert isinstance(found, RequestRefusal), changed
        assert found.status == 400
        reasons.add(found.faults[0].reason)
    (reason,) = reasons
    return reason


def is_accepted(**changed: Any) -> bool:
    return all(isinstance(found, DecodedEvents) for found in read_everywhere(**changed))


@pytest.mark.parametrize(("name", "most"), LIMITS.items())
def test_an_attribute_is_as_long_as_its_limit(name: str, most: int) -> None:
    is_media_type = name == "datacontenttype"
    filling, character = ("text/", "x") if is_media_type else ("", "\U0001f600")
    assert is_accepted(**{name: filling + character * (most - len(filling))})
    reason = f"{name} is {most + 1} characters long; at most {most} are accepted"
    assert reason_of(**{name: filling + character * (most + 1 - len(filling))}) == reason


def test_data_has_no_limit_of_its_own() -> None:
    assert is_accepted(data="x" * (MAX_EXTENSION_LENGTH + 1))
    assert intake_problems(members(data_base64="eA" * 5_000)) == []


def test_the_name_of_an_extension_is_not_too_long() -> None:
    assert is_accepted(**{"n" * MAX_NAME_LENGTH: 1})
    assert "257 characters long; at most 256" in reason_of(**{"n" * (MAX_NAME_LENGTH + 1): 1})


@pytest.mark.parametrize("type_", RESERVED_TYPES)
def test_types_of_busway_itself_are_refused(type_: str) -> None:
    assert "types that begin with 'busway.' are reserved" in reason_of(type=type_)


def test_an_escaped_type_is_refused_as_well() -> None:
    body = json.dumps(members()).encode().replace(b'"t"', rb'"\u0062usway.alert.raised"')
    assert isinstance(decode_one(body, LARGE), RequestRefusal)


@pytest.mark.parametrize("type_", FREE_TYPES)
def test_similar_types_are_accepted(type_: str) -> None:
    assert is_accepted(type=type_)


@pytest.mark.parametrize("source", ["/busway", "/busway/alerts", "/busway/orders"])
def test_sources_of_busway_itself_are_refused(source: str) -> None:
    assert "reserved for Busway's own events" in reason_of(source=source)


@pytest.mark.parametrize("source", ["/buswayish", "busway", "/a/busway/x"])
def test_similar_sources_are_accepted(source: str) -> None:
    assert is_accepted(source=source)


@pytest.mark.parametrize("name", ["buswayhops", "busway", "buswayx1"])
def test_extensions_of_busway_itself_are_refused(name: str) -> None:
    assert f"the attribute name '{name}' begins with 'busway'" in reason_of(**{name: 1})


@pytest.mark.parametrize(
    "name", ["hops", "cause", "parent", "key", "replay", "attempt", "flow", "group", "offset"]
)
def test_other_extensions_are_data(name: str) -> None:
    assert is_accepted(**{name: 64})
