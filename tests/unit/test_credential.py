"""Secrets: which are strong enough, and what an error says of one that is not."""

from __future__ import annotations

import pytest

from busway.credential import is_same_secret, new_secret, require_strong_secret
from busway.errors import SettingsError

GOOD = "4tKp9_wzQ-rB7xYd2mLs"


@pytest.mark.parametrize("text", [GOOD, f"{GOOD}\n", f"{GOOD}\r\n", f" \t{GOOD} \n\n"])
def test_white_space_around_a_secret_is_not_part_of_it(text: str) -> None:
    assert require_strong_secret("IT", text) == GOOD


@pytest.mark.parametrize("text", ["", " ", "\n", "\r\n\t"])
def test_nothing_but_white_space_is_no_secret(text: str) -> None:
    assert require_strong_secret("IT", text) == ""


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("t0p", "it has 3 characters; at least 20 are required"),
        (GOOD[:19], "19 characters"),
        ("change-me", "9 characters"),
        ("change-me-" * 4, "placeholder"),
        ("Change_Me-1f9Kq0Zx7w2mVb", "placeholder"),
        ("my-PassWord-is-1f9Kq0Zx", "guess"),
        ("12345678901234567890", "guess"),
        ("abcdefghijklmnopqrstuvwxyz", "guess"),
        ("a" * 40, "repeats"),
        ("ab" * 20, "repeats"),
        ("4tKp9_wz" * 3, "repeats"),
        (f"{GOOD} {GOOD}", "contains white space"),
        (f"{GOOD}\n{GOOD}", "contains white space"),
        (f"{GOOD}\0{GOOD}", "printable ASCII"),
        (f"{GOOD}\x1b[31m", "printable ASCII"),
        (f"{GOOD}schlüssel", "printable ASCII"),
        (f"\ufeff{GOOD}", "printable ASCII"),
        (f"{GOOD}\udcff", "printable ASCII"),
    ],
)
def test_a_weak_secret_is_refused_and_never_shown(text: str, why: str) -> None:
    with pytest.raises(SettingsError) as refused:
        require_strong_secret("BUSWAY_API_TOKEN", text)
    said = str(refused.value)
    assert said.startswith("BUSWAY_API_TOKEN is too weak: ")
    assert why in said
    assert "generate one: " in said
    assert text not in said


def test_what_is_made_is_strong_and_new() -> None:
    made = {new_secret() for _ in range(100)}
    assert len(made) == 100
    assert {require_strong_secret("IT", one) for one in made} == made


@pytest.mark.parametrize(
    ("given", "secret", "same"),
    [
        (GOOD, GOOD, True),
        (GOOD[:-1], GOOD, False),
        (f"{GOOD}x", GOOD, False),
        ("", GOOD, False),
        ("", "", False),
        ("ä", GOOD, False),
        ("\udcff", GOOD, False),
    ],
)
def test_only_the_whole_secret_is_the_same(given: str, secret: str, same: bool) -> None:
    assert is_same_secret(given, secret) is same
