"""The file that a replay writes: a name alone, so that no caller names a place."""

from __future__ import annotations

import pytest

from busway.control.replay.file_name import file_name
from busway.errors import BuswayError


@pytest.mark.parametrize("name", ["again.jsonl", "a", "Zoë (2).jsonl", "2026_x+y=z", "é" * 90])
def test_valid_names_are_accepted(name: str) -> None:
    assert file_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../again.jsonl",
        "/tmp/again.jsonl",
        "out/again.jsonl",
        "out\\again.jsonl",
        "~/again.jsonl",
        ".hidden",
        "a\0b",
        "a\nb",
        "a\x1bb",
        "a\u202eb",
        "a\u2028b",
        "\ud800",
        "x" * 201,
        "é" * 150,
        "again.jsonl.busway",
        "again.jsonl.busway-wal",
        "x-journal",
        "file:again?mode=rw",
        "-rf",
        " a",
    ],
)
def test_invalid_names_are_rejected(name: str) -> None:
    with pytest.raises(BuswayError, match="is not the name of a file"):
        file_name(name)
