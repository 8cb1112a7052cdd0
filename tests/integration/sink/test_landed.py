"""Destinations that keep positions tell what has landed, each on its real store."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from busway.outcome import DELIVERED, Down
from busway.ports import DeliveredRange, Destination, KnowsDelivered, Sink, SinkLane
from busway.sinks import jsonl, postgres, sqlite
from postgres_server import PostgresServer
from sink_load import LOG, KeptEvents, again, fresh, rows

LANE, OTHER = SinkLane(LOG, "orders", 0), SinkLane(LOG, "orders", 1)


class Place(NamedTuple):
    """A sink, and one like it whose destination cannot be reached."""

    sink: Sink
    unreachable: Sink


@pytest.fixture(params=["sqlite", "jsonl", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "sqlite":
        nowhere = tmp_path / "none" / "out.db"
        return Place(
            sqlite(str(tmp_path / "out.db"), table="t", create=True),
            sqlite(str(nowhere), table="t"),
        )
    if request.param == "jsonl":
        (tmp_path / "file").write_text("")
        nowhere = tmp_path / "file" / "out.jsonl"
        return Place(jsonl(str(tmp_path / "out.jsonl")), jsonl(str(nowhere)))
    found: PostgresServer = request.getfixturevalue("server")
    return Place(
        postgres(found.dsn, table="t", create=True),
        postgres("postgresql://postgres@127.0.0.1:9/none", table="t"),
    )


async def told(destination: Destination, lane: SinkLane) -> DeliveredRange | Down:
    assert isinstance(destination, KnowsDelivered)
    return await destination.delivered_range(lane, range(12))


async def test_it_tells_the_range_and_what_landed_in_and_out_of_it(place: Place) -> None:
    destination = await place.sink.open(KeptEvents())
    assert await told(destination, LANE) == DeliveredRange()
    load = fresh([*rows(3, 5), *rows(6, 8)], holes=[5])
    assert await destination.write(load) == [DELIVERED] * 4
    assert await told(destination, LANE) == DeliveredRange(3, 8, frozenset({3, 4, 6, 7}))
    await destination.write(again([*rows(1, 2), *rows(5, 6)]))
    assert await told(destination, LANE) == DeliveredRange(3, 8, frozenset({1, 3, 4, 5, 6, 7}))
    assert await told(destination, OTHER) == DeliveredRange()
    await destination.close()


async def test_one_that_cannot_be_asked_is_down(place: Place) -> None:
    destination = await place.unreachable.open(KeptEvents())
    assert isinstance(await told(destination, LANE), Down)
    await destination.close()
