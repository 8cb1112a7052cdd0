"""How a lane goes on after an unclean end, by the mark that was left."""

from __future__ import annotations

import pytest

from busway.delivery.care import Care, Mark, care


@pytest.mark.parametrize(
    ("mark", "cursor", "expected"),
    [
        (None, 10, Care()),
        (Mark(10), 10, Care()),
        (Mark(10, 9), 10, Care()),
        (Mark(20), 10, Care(20)),
        (Mark(20, 12), 10, Care(20, 12)),
        (Mark(20, 10), 10, Care(20, 10)),
        (Mark(20, 9), 10, Care(20)),
    ],
    ids=str,
)
def test_what_was_in_hand_is_worked_one_by_one_and_what_was_alone_is_the_suspect(
    mark: Mark | None, cursor: int, expected: Care
) -> None:
    assert care(mark, cursor) == expected
