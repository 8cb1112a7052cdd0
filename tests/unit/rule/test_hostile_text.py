"""Texts of events that would take long to be compared: linear time, the same answer."""

from __future__ import annotations

import pytest

from busway.rule import Pattern, RuleIndex

LONG = 200_000


@pytest.mark.parametrize(
    ("clause", "text"),
    [
        ({"cidr": "2001:db8::/32"}, ":" * LONG + "x"),
        ({"cidr": "10.0.0.0/8"}, "1" * LONG + "x"),
        ({"suffix": {"equals-ignore-case": "a" * 5_000 + "b"}}, "a" * LONG),
        ({"prefix": {"equals-ignore-case": "a" * 5_000 + "b"}}, "a" * LONG),
        ({"equals-ignore-case": "a" * 5_000 + "b"}, "a" * LONG),
    ],
)
def test_a_long_text_is_told_at_once(clause: object, text: str) -> None:
    pattern = Pattern.parse({"data": {"a": [clause]}})
    event = {"specversion": "1.0", "data": {"a": text}}
    assert not pattern.matches(event)


@pytest.mark.parametrize(
    ("suffix", "text", "wanted"),
    [
        (".PnG", "a.png", True),
        ("ß", "STRASSS", True),
        ("ß", "STRASS", True),
        ("Straße", "hauptSTRASSE", True),
        (".png", "a.png.txt", False),
        ("ab", "b", False),
    ],
)
def test_a_suffix_in_any_case(suffix: str, text: str, wanted: bool) -> None:
    pattern = Pattern.parse({"data": {"a": [{"suffix": {"equals-ignore-case": suffix}}]}})
    assert pattern.matches({"specversion": "1.0", "data": {"a": text}}) is wanted
    raw = b'{"specversion":"1.0","data":{"a":"%s"}}' % text.encode()
    assert RuleIndex([pattern]).match(raw) == ((0,) if wanted else ())
