"""How a lane goes on after an unclean end, by the mark that was left."""

from __future__ import annotations

import pytest

from busway.delivery.care import Care, Mark, Stretch, care


@pytest.mark.parametrize(
    ("mark", "cursor", "expected"),
    [
        (None, 10, Care()),
        (Mark(10), 10, Care()),
        (Mark(10, 9), 10, Care()),
        (Mark(20), 10, Care((Stretch(20, 1),))),
        (Mark(20, 12), 10, Care((Stretch(20, 1),), 12)),
        (Mark(20, 10), 10, Care((Stretch(20, 1),), 10)),
        (Mark(20, 9), 10, Care((Stretch(20, 1),))),
    ],
    ids=str,
)
def test_few_that_were_in_hand_are_worked_one_by_one_and_what_was_alone_is_the_suspect(
    mark: Mark | None, cursor: int, expected: Care
) -> None:
    assert care(mark, cursor) == expected


def test_many_that_were_in_hand_are_worked_in_parts_and_what_is_behind_them_as_before() -> None:
    behind = (Stretch(2_000, 157), Stretch(9_000, 5_000))
    died = Mark(1_200, None, 150, (Stretch(1_200, 150), *behind))
    assert care(died, 1_000) == Care((Stretch(1_200, 5), *behind))
    assert care(died, 1_200) == Care(behind), "it was settled before"
    assert care(died, 2_000) == Care(behind[1:])
    assert care(died, 9_000) == Care()


def test_there_is_reason_for_care_up_to_the_end_of_all_that_was_in_hand() -> None:
    assert Mark(10).until == 10
    assert Mark(10, None, 5, (Stretch(10, 5), Stretch(30, 9))).until == 30
