"""What declarations are checked for before anything is opened."""

from __future__ import annotations

import sys

import pytest

from busway import sinks
from busway.errors import SinkError
from busway.ports import KeepsPositions, Sink
from sink_load import KeptEvents


def test_what_is_public() -> None:
    assert sinks.__all__ == [
        "bus",
        "chat",
        "console",
        "http",
        "jsonl",
        "postgres",
        "smtp",
        "sqlite",
    ]


@pytest.mark.parametrize(
    ("sink", "keeps_positions"),
    [
        (sinks.bus(), False),
        (sinks.console(), False),
        (sinks.http("http://x/"), False),
        (sinks.http("http://x/", headers={"a": "b"}, sign=["x", "y"]), False),
        (sinks.chat("https://x/y", "{data[text]}"), False),
        (sinks.smtp("x", sender="a@x.example", to=["b@x.example", "c@x.example"]), False),
        (sinks.jsonl("x.jsonl"), True),
        (sinks.postgres("postgresql://x/y", "orders"), True),
        (sinks.sqlite("x.db", "orders"), True),
    ],
)
def test_every_sink_is_a_hashable_record(sink: Sink, keeps_positions: bool) -> None:
    assert isinstance(sink, Sink)
    assert isinstance(sink, KeepsPositions) is keeps_positions
    assert len({sink, sink}) == 1


async def test_postgres_without_its_driver_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    with pytest.raises(SinkError, match=r"pip install 'busway\[postgres\]'"):
        await sinks.postgres("postgresql://x/y", "orders").open(KeptEvents())
