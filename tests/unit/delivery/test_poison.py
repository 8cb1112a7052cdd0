"""How a lane goes on after an unclean end, by the mark that was left."""

from __future__ import annotations

import pytest

from busway.delivery.poison import BisectPlan, InFlightMarker, SuspectRange, bisect_plan


@pytest.mark.parametrize(
    ("mark", "cursor", "expected"),
    [
        (None, 10, BisectPlan()),
        (InFlightMarker(10), 10, BisectPlan()),
        (InFlightMarker(10, 9), 10, BisectPlan()),
        (InFlightMarker(20), 10, BisectPlan((SuspectRange(20, 1),))),
        (InFlightMarker(20, 12), 10, BisectPlan((SuspectRange(20, 1),), 12)),
        (InFlightMarker(20, 10), 10, BisectPlan((SuspectRange(20, 1),), 10)),
        (InFlightMarker(20, 9), 10, BisectPlan((SuspectRange(20, 1),))),
    ],
    ids=str,
)
def test_few_that_were_in_hand_are_worked_one_by_one_and_what_was_alone_is_the_suspect(
    mark: InFlightMarker | None, cursor: int, expected: BisectPlan
) -> None:
    assert bisect_plan(mark, cursor) == expected


def test_many_that_were_in_hand_are_worked_in_parts_and_what_is_behind_them_as_before() -> None:
    behind = (SuspectRange(2_000, 157), SuspectRange(9_000, 5_000))
    died = InFlightMarker(1_200, None, 150, (SuspectRange(1_200, 150), *behind))
    assert bisect_plan(died, 1_000) == BisectPlan((SuspectRange(1_200, 5), *behind))
    assert bisect_plan(died, 1_200) == BisectPlan(behind), "it was settled before"
    assert bisect_plan(died, 2_000) == BisectPlan(behind[1:])
    assert bisect_plan(died, 9_000) == BisectPlan()


def test_there_is_reason_for_care_up_to_the_end_of_all_that_was_in_hand() -> None:
    assert InFlightMarker(10).last_end == 10
    assert InFlightMarker(10, None, 5, (SuspectRange(10, 5), SuspectRange(30, 9))).last_end == 30
