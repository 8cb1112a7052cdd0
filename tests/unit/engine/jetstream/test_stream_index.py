"""What a chart makes of the batches that are seen, in whatever order they are."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from busway.engine.jetstream.stored_message import BatchPosition
from busway.engine.jetstream.stream_index import StreamIndex

AT = datetime(2030, 1, 1, tzinfo=UTC)


def spot(seq: int, offset: int, count: int, id: str = "") -> BatchPosition:
    return BatchPosition(seq, offset, count, AT, id or f"{seq}")


FIVE = [spot(3, 0, 2), spot(5, 2, 0), spot(6, 2, 3), spot(9, 7, 0), spot(10, 7, 1)]
"""A partition with a mark that says nothing, and one that says where it goes on."""


@pytest.mark.parametrize("seen", [FIVE, FIVE[::-1], [*FIVE, *FIVE]])
def test_the_end_advances_whatever_the_order_of_batches(seen: list[BatchPosition]) -> None:
    chart = StreamIndex(2)
    for one in seen:
        chart.record(1, one)
    assert (chart.ends.end(1), chart.last_position(1)) == (8, FIVE[-1])
    assert not chart.is_inconsistent(1)


@pytest.mark.parametrize(
    "again",
    [spot(11, 7, 1), spot(12, 0, 1), spot(10, 7, 1, "other"), spot(8, 5, 3), spot(10, 3, 0, "x")],
)
def test_a_contradiction_to_the_last_batch_is_noticed(again: BatchPosition) -> None:
    chart = StreamIndex(2)
    chart.record(1, FIVE[-1])
    chart.record(1, again)
    assert [chart.is_inconsistent(partition) for partition in range(2)] == [False, True]
