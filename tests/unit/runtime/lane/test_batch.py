"""What a lane takes at once of what it has read, where the log has a hole."""

from __future__ import annotations

from datetime import UTC, datetime

from busway.bus.reader import MatchedBatch
from busway.ports import LogBatch
from busway.runtime.lane.batch import LaneBatch, cut_batch

AT = datetime(2030, 1, 1, tzinfo=UTC)


def read(*places: tuple[int, int]) -> list[MatchedBatch]:
    """Return batches from one offset to another; rule 0 wants none of their events."""
    return [
        MatchedBatch(LogBatch(0, first, AT, [b"{}"] * (end - first)), {}, {}, 0)
        for first, end in places
    ]


def test_a_hole_before_what_was_read_is_a_portion_by_itself() -> None:
    assert cut_batch(read((7, 9), (9, 12)), 0, 3, 100) == LaneBatch(3, 7, (), ())
    assert cut_batch(read((7, 9), (9, 12)), 0, 7, 100) == LaneBatch(7, 12, [], [])
    assert cut_batch(read((7, 9), (9, 12)), 0, 8, 100) == LaneBatch(8, 12, [], [])


def test_a_portion_ends_before_a_hole() -> None:
    assert cut_batch(read((0, 3), (5, 9)), 0, 1, 100) == LaneBatch(1, 3, [], [])
    assert cut_batch(read(), 0, 1, 100) is None
