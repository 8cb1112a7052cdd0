"""What a lane takes at once of what it has read, where the log has a hole."""

from __future__ import annotations

from datetime import UTC, datetime

from busway.bus.follow import Matched
from busway.ports import Batch
from busway.runtime.lane.portion import Portion, cut

AT = datetime(2030, 1, 1, tzinfo=UTC)


def read(*places: tuple[int, int]) -> list[Matched]:
    """Return batches from one offset to another; rule 0 wants none of their events."""
    return [
        Matched(Batch(0, first, AT, [b"{}"] * (end - first)), {}, {}, 0) for first, end in places
    ]


def test_a_hole_before_what_was_read_is_a_portion_by_itself() -> None:
    assert cut(read((7, 9), (9, 12)), 0, 3, 100) == Portion(3, 7, (), ())
    assert cut(read((7, 9), (9, 12)), 0, 7, 100) == Portion(7, 12, [], [])
    assert cut(read((7, 9), (9, 12)), 0, 8, 100) == Portion(8, 12, [], [])


def test_a_portion_ends_before_a_hole() -> None:
    assert cut(read((0, 3), (5, 9)), 0, 1, 100) == Portion(1, 3, [], [])
    assert cut(read(), 0, 1, 100) is None
