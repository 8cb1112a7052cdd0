"""One cause has one fingerprint, whatever the values; another type or place has another."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from busway.delivery.fingerprint import fingerprint, normalized_message, title
from busway.failed_event import Failure

AT = datetime(2030, 1, 1, tzinfo=UTC)
WORDS = st.lists(st.from_regex(r"[g-z]{1,12}", fullmatch=True), min_size=1, max_size=6, unique=True)
HOSTS = st.from_regex(r"[a-z]{1,8}\.(com|example\.org)", fullmatch=True)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.from_regex(r"[a-z]{1,6}", fullmatch=True), inner, max_size=4)
    ),
    max_leaves=8,
).filter(lambda value: isinstance(value, list | dict))
VALUES: list[st.SearchStrategy[str]] = [
    st.integers().map(str),
    st.decimals(allow_nan=False, allow_infinity=False, places=2).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.uuids().map(str),
    st.integers(0, 2**64).map(hex),
    st.from_regex(r"[0-9a-f]{32}", fullmatch=True),
    st.from_regex(r"[a-z]{1,6}-[0-9]{1,9}", fullmatch=True),
    st.from_regex(r"[A-Z]{2,4}_[0-9]{2,6}", fullmatch=True),
    st.datetimes().map(lambda at: at.isoformat()),
    st.datetimes(timezones=st.just(UTC)).map(str),
    st.dates(min_value=date(1970, 1, 1)).map(lambda day: day.strftime("%a, %d %b %Y")),
    HOSTS.map(lambda host: f"someone@{host}"),
    HOSTS.map(lambda host: f"https://{host}/orders?from=1"),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=30).map(repr),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=30).map(json.dumps),
    JSON.map(json.dumps),
    JSON.map(repr),
]


def failure(error: str, place: str, reason: str, line: int = 1) -> Failure:
    traceback = (
        "Traceback (most recent call last):\n"
        f'  File "/srv/flows.py", line {line}, in {place}\n    check(event)\n{error}: {reason}\n'
    )
    return Failure(1, AT, "step", error, reason, traceback)


@st.composite
def same_cause(draw: Any) -> tuple[str, str]:
    """Return two messages with the same words and different values between them."""
    first, second = [], []
    for word in draw(WORDS):
        value = draw(st.sampled_from(VALUES))
        first.append(f"{word} {draw(value)}")
        second.append(f"{word} {draw(value)}")
    return " ".join(first), " ".join(second)


@given(same_cause(), st.integers(1, 9_999), st.integers(1, 9_999))
def test_the_same_cause_with_other_values_is_the_same(
    messages: tuple[str, str], first: int, second: int
) -> None:
    one, other = (
        failure("ValueError", "orders", message, line)
        for message, line in zip(messages, (first, second), strict=True)
    )
    assert normalized_message(one.reason) == normalized_message(other.reason)
    assert fingerprint(one) == fingerprint(other)
    assert title(one) == title(other)


@given(st.sampled_from([(str(n), n) for n in (UUID(int=5), Decimal("1.5"), 17)]), WORDS)
def test_another_type_place_or_wording_is_another(value: tuple[str, object], words: Any) -> None:
    reason = f"{' '.join(words)} {value[0]}"
    same = failure("ValueError", "orders", reason)
    others = [
        failure("KeyError", "orders", reason),
        failure("ValueError", "customers", reason),
        failure("ValueError", "orders", f"{reason} aside"),
        Failure(1, AT, "sink", "ValueError", reason),
        Failure(1, AT, "step", "ValueError", reason),
    ]
    assert len({fingerprint(one) for one in (same, *others)}) == len(others) + 1


@given(st.text(max_size=300))
def test_any_message_is_taken_and_said_once_it_is_said_again(message: str) -> None:
    once = normalized_message(message)
    assert normalized_message(once) == once
    assert len(fingerprint(failure("E", "f", message))) == 12


@given(JSON, JSON, st.integers(0, 10**9), st.uuids(), WORDS)
def test_what_an_api_echoes_does_not_change_the_cause_and_its_message_does(
    one: Any, other: Any, number: int, id: UUID, words: list[str]
) -> None:
    message = " ".join(words)
    bodies = [
        {"request_id": str(id), "error": {"message": f"{message} {number}"}, "order": one},
        {"error": {"message": f"{message} 7"}, "order": other, "request_id": "x-1"},
        {"order": one, "error": {"message": f"{message} zzz"}},
    ]
    first, second, third = (Failure(1, AT, "sink", "http 422", json.dumps(body)) for body in bodies)
    assert fingerprint(first) == fingerprint(second)
    assert fingerprint(first) != fingerprint(third)
