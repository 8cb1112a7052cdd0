"""Who asked: a name that was proven, and a remark that can never pass for one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busway.actor import Actor


@pytest.mark.parametrize(
    ("name", "remark", "text"),
    [
        ("api-token", "", "api-token"),
        ("api-token", "ann@ops", "api-token (ann@ops)"),
        ("api-token", "a\nb\x1b[2J\0c", "api-token (ab[2Jc)"),
        ("api-token", "\n", "api-token"),
        ("two words (root)", "", "two_words_root_"),
        ("jörg@ops", "", "jörg@ops"),
        ("", "", "anybody"),
    ],
)
def test_an_actor_as_text(name: str, remark: str, text: str) -> None:
    assert str(Actor.of(name, remark)) == text


def test_a_remark_has_an_end() -> None:
    assert len(Actor.of("api-token", "x" * 10_000).remark) == 200


@given(st.text(), st.text())
def test_what_was_proven_is_read_back_whatever_is_said_beside_it(name: str, remark: str) -> None:
    actor = Actor.of(name, remark)
    assert Actor.parse(str(actor)) == actor
    assert " " not in actor.name
