"""What a chart makes of the batches that are seen, in whatever order they are."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from busway.engine.jetstream.chart import Chart
from busway.engine.jetstream.message import Spot

AT = datetime(2030, 1, 1, tzinfo=UTC)


def spot(seq: int, offset: int, count: int, id: str = "") -> Spot:
    return Spot(seq, offset, count, AT, id or f"{seq}")


FIVE = [spot(3, 0, 2), spot(5, 2, 0), spot(6, 2, 3), spot(9, 7, 0), spot(10, 7, 1)]
"""A partition with a mark that says nothing, and one that says where it goes on."""


@pytest.mark.parametrize("seen", [FIVE, FIVE[::-1], [*FIVE, *FIVE]])
def test_a_partition_goes_on_in_whatever_order_it_is_seen(seen: list[Spot]) -> None:
    chart = Chart(2)
    for one in seen:
        chart.note(1, one)
    assert (chart.tail.end(1), chart.last(1)) == (8, FIVE[-1])
    assert not chart.went_back(1)


@pytest.mark.parametrize(
    "again",
    [spot(11, 7, 1), spot(12, 0, 1), spot(10, 7, 1, "other"), spot(8, 5, 3), spot(10, 3, 0, "x")],
)
def test_what_cannot_be_in_one_stream_with_the_last_is_noticed(again: Spot) -> None:
    chart = Chart(2)
    chart.note(1, FIVE[-1])
    chart.note(1, again)
    assert [chart.went_back(partition) for partition in range(2)] == [False, True]
