"""What is not printable is escaped, as text and as JSON; the rest stays as it is."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busway.printable import printable, printable_json, printable_lines

CONTROLS = ["\x1b[2J", "\x07", "\r", "\x9b31m", "\x7f"]
MARKS = ["\u202e", "\u2066", "\u200b", "\ufeff", "\u2028"]


@pytest.mark.parametrize("char", [*CONTROLS, *MARKS, "\n", "\t", "\ud800", "\U000e0001"])
def test_what_steers_or_misleads_is_escaped(char: str) -> None:
    assert printable(f"a{char}b").isprintable()
    assert printable(f"a{char}b").startswith("a\\")


@given(st.text(st.characters(exclude_categories=["C", "Z"]) | st.just(" ")))
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert printable(text) == printable_json(text) == text


@given(st.text(st.characters(exclude_characters="\n")), st.text())
def test_lines_stay_lines(first: str, second: str) -> None:
    shown = printable_lines(f"{first}\n{second}").split("\n")
    assert shown[0] == printable(first)
    assert all(line.isprintable() for line in shown)


@given(st.recursive(st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_json_stays_the_same_json(value: object) -> None:
    for indent in (None, 2):
        shown = printable_json(json.dumps(value, ensure_ascii=False, indent=indent))
        assert json.loads(shown) == value
        assert all(line.isprintable() for line in shown.split("\n"))
